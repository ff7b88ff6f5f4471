"""`kilowait mcp`: nothing else is in here."""

from kilowait.cli.mcp.mcp import add_arguments, run

__all__ = ["add_arguments", "run"]
