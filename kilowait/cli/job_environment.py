"""The options of `kilowait predict` that say in what surroundings a job will run."""

import argparse

from kilowait.predict.interpreter import Interpreter, choose


def add_environment_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group(
        "the job's own environment", "where the program runs dry; the default is the Python that kilowait runs under"
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument("--python", metavar="PATH", help="the job's interpreter: Python 3.9 and torch 2.1 or later")
    which.add_argument("--venv", metavar="DIR", help="the job's virtual environment")
    which.add_argument("--conda", metavar="NAME", help="the job's conda environment")
    which.add_argument("--image", metavar="IMAGE", help="a container's image, where podman or apptainer is installed")


def interpreter_of(args: argparse.Namespace) -> Interpreter:
    """The interpreter that was asked for; raises InputError where there is none that a dry run can use."""
    return choose(python=args.python, venv=args.venv, conda=args.conda, image=args.image)
