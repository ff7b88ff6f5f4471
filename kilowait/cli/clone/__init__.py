"""`kilowait clone`: nothing else is in here."""

from kilowait.cli.clone.clone import add_arguments, cloned, run

__all__ = ["add_arguments", "cloned", "run"]
