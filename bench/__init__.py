"""The figures of the README, measured: `python -m bench`."""

import gc

gc.set_threshold(3_000)  # as the `newsletter` command does
