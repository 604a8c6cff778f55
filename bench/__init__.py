"""Measurements of the documented figures: `python -m bench`."""

from newsletter import garbage

garbage.put_off()  # as every command does
