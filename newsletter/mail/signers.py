"""The DKIM signers of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newsletter.config import Config
from newsletter.model import Publication

if TYPE_CHECKING:
    from newsletter.mail.dkim import Signer


def signers(config: Config, publication: Publication | None = None) -> tuple[Signer, ...]:
    """The DKIM keys, for the domain of the sender (aligned: RFC 7489 section 3.1.1).

    `publication` is the one that was frozen with an issue; without it, the configuration's. Raises ConfigError.
    """
    if not config.dkim:
        return ()
    from newsletter.mail import dkim  # cryptography is large

    domain = (publication or config.publication).sender.domain
    return tuple(dkim.load(key.private_key_file, key.selector, domain) for key in config.dkim)
