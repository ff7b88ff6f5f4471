"""The commands of `kilowait model`."""

import argparse

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client import model_text


def add_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "list, show, promote and roll back what was learnt from finished jobs"
    actions = add_group(commands, "model", text)
    add_command(actions, "list", "every model and which is in force", lambda _, c: c.models(), model_text.models)
    show = add_command(actions, "show", "a model and its comparison", lambda a, c: c.model(a.version), model_text.model)
    promote = add_command(
        actions,
        "promote",
        "put a model in force, whatever its comparison said (operators)",
        lambda a, c: c.promote(a.version, a.reason),
        model_text.change,
    )
    text = "take the model in force off; the one before it is in force again (operators)"
    rollback = add_command(actions, "rollback", text, lambda a, c: c.rollback(a.reason), model_text.change)
    for parser in (show, promote):
        parser.add_argument("version", metavar="VERSION", help="as listed")
    for parser in (promote, rollback):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="kept beside the change")
