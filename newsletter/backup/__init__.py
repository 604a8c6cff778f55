"""A backup: one archive with a copy of the store, config.yaml and the files that it names; and the way back.

The archive is a tar file. Its first member, manifest.json, names every other member with its size and SHA-256.
"""

from newsletter.backup.make import Made, make, stream
from newsletter.backup.restore import Restored, restore

__all__ = ["Made", "Restored", "make", "restore", "stream"]
