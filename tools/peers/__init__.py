"""Counters of other projects beside ours, on the same models in one run."""
