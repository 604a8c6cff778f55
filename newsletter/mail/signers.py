"""The DKIM signers of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newsletter.config import Config

if TYPE_CHECKING:
    from newsletter.mail.dkim import Signer


def signers(config: Config) -> tuple[Signer, ...]:
    """The DKIM keys, for the domain of the sender (aligned: RFC 7489 section 3.1.1). Raises ConfigError."""
    if not config.dkim:
        return ()
    from newsletter.mail import dkim  # cryptography is large

    domain = config.publication.sender.domain
    return tuple(dkim.load(key.private_key_file, key.selector, domain) for key in config.dkim)
