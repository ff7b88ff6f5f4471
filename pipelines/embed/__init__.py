"""Embed sources with a language model over a pool of Ray actors: `kilowait lab embed --help`."""
