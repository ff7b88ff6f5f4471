"""The factorial study as Ray tasks: `python -m pipelines.study --help`."""
