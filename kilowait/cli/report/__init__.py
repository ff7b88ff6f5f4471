"""`kilowait report`: its options, and where its rows come from."""

from kilowait.cli.report.report import add_arguments, run

__all__ = ["add_arguments", "run"]
