"""How the running command was started, for its own help."""

import sys


def command_name(module: str, handed_over: str) -> str:
    """`handed_over` where `kilowait` handed over to this command, else `python -m` and the module's name."""
    return handed_over if sys.argv[0] == handed_over else f"python -m {module}"
