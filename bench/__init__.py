"""Measurements of the documented figures: `python -m bench`."""

import gc

gc.set_threshold(3_000)  # the same as the `newsletter` command
