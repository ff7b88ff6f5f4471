"""`kilowait calibrate`: nothing else is in here."""

from kilowait.cli.own_board.own_board import add_arguments, run

__all__ = ["add_arguments", "run"]
