"""Measurements of the documented figures: `python -m bench`."""

import gc

gc.set_threshold(3_000)  # as the `newsletter` command when it is loaded
