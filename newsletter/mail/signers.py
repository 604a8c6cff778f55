"""The DKIM keys that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newsletter.config import Config
from newsletter.model import Publication

if TYPE_CHECKING:
    from newsletter.mail.dkim import Signer


def signers(config: Config, publication: Publication | None = None) -> tuple[Signer, ...]:
    """A signer for each key under `dkim`; none if there is no key. Raises ConfigError if a key cannot be read.

    They sign for the domain of the sender, as DMARC's identifier alignment requires (RFC 7489 section 3.1.1). The
    sender is that of `publication`, which was frozen with an issue, else of the configuration.
    """
    if not config.dkim:
        return ()
    from newsletter.mail import dkim  # imports cryptography, which is large

    domain = (publication or config.publication).sender.domain
    return tuple(dkim.load(key.private_key_file, key.selector, domain) for key in config.dkim)
