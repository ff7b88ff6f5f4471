"""Measure every script of a corpus on every device type here: `kilowait lab label --help`."""
