"""The factorial study as Ray tasks: `kilowait lab study --help`."""
