"""`kilowait ray`: nothing else is in here."""

from kilowait.cli.ray.ray import add_arguments, run_words

__all__ = ["add_arguments", "run_words"]
