"""Measure every script of a corpus on every device type here: `python -m pipelines.label --help`."""
