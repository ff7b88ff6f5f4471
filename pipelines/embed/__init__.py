"""Embed sources with a language model over a pool of Ray actors: `python -m pipelines.embed --help`."""
