"""`kilowait replay`: nothing else is in here."""

from kilowait.cli.replay.replay import add_arguments, replayed, run

__all__ = ["add_arguments", "replayed", "run"]
