"""`kilowait admit`: nothing else is in here."""

from kilowait.cli.admit.admit import add_arguments, run

__all__ = ["add_arguments", "run"]
