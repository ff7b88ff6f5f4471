"""`kilowait backup` and `kilowait restore`: a history as one file, and back. The service may go on meanwhile."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

BACKUP_EXAMPLE = """\
example:
  $ kilowait backup --database sqlite:///out/serve/kilowait.db kilowait-monday.db

The service may go on. The file holds all that was committed when the command began, is checked, and takes the place
of an older one of its name only when it is whole. It holds programs and hashes of tokens: keep it as you keep those.
PostgreSQL has pg_dump for this; the command says how to call it.
"""
RESTORE_EXAMPLE = """\
example, with the service stopped:
  $ kilowait restore kilowait-monday.db --database sqlite:///out/serve/kilowait.db --force

The file is checked first. A history that is there already is replaced only with --force, and never while a living
cluster holds it or a process has it open. One of an earlier release is upgraded when the service starts. Jobs that ran
at the time of the backup count as lost with their runners, and are tried again as their retry rules say.
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both; nothing is imported that costs time."""
    backup = _add(commands, "backup", "copy a service's history to a file, while it goes on", BACKUP_EXAMPLE)
    backup.add_argument("file", type=Path, metavar="FILE", help="where to; an older copy of that name is replaced")
    backup.set_defaults(run=_backup)
    restore = _add(commands, "restore", "put a copy into the place of a service's history", RESTORE_EXAMPLE)
    restore.add_argument("file", type=Path, metavar="FILE", help="what `kilowait backup` wrote")
    restore.add_argument("--force", action="store_true", help="replace the history that is there, which is lost")
    restore.set_defaults(run=_restore)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, example: str
) -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        name, help=text, description=text, epilog=example, formatter_class=formatter, allow_abbrev=False
    )
    parser.add_argument("--database", required=True, metavar="URL", help="the history: sqlite:///PATH, or a path")
    return parser


def _backup(args: argparse.Namespace) -> int:
    from kilowait.history.database_url import parse_url
    from kilowait.history.sqlite_files import copy_database

    written_bytes = copy_database(_file(parse_url(args.database), args), args.file)
    sys.stdout.write(f"{written_bytes:,} bytes written to {args.file}\n")
    return 0


def _restore(args: argparse.Namespace) -> int:
    from kilowait.history.database_url import parse_url
    from kilowait.history.sqlite_files import restore_database

    target = _file(parse_url(args.database), args)
    schema = restore_database(args.file, target, force=args.force, time_s=time.time())
    sys.stdout.write(f"{target} is {args.file} again, of schema {schema}\n")
    return 0


def _file(url: "URL", args: argparse.Namespace) -> Path:
    """The database's file; raises InputError for a server, with the command that does it there."""
    from kilowait.history.database_url import sqlite_file

    if (file := sqlite_file(url)) is not None:
        return file
    if url.get_backend_name() == "sqlite":
        raise InputError(f"--database {args.database}: a database in memory is no file; give sqlite:///PATH")
    address = url.set(drivername="postgresql").render_as_string()  # without its password
    raise InputError(
        f"--database {address}: PostgreSQL has its own tool for this, which asks for the password or takes it from "
        f"PGPASSWORD: {_postgresql_command(url, args)}"
    )


def _postgresql_command(url: "URL", args: argparse.Namespace) -> str:
    import shlex

    from sqlalchemy.engine import URL

    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    address = shlex.quote(plain.render_as_string())
    file = shlex.quote(str(args.file))
    if args.run is _backup:
        return f"pg_dump --format=custom --file={file} --dbname={address}"
    return f"pg_restore --clean --if-exists --no-owner --single-transaction --dbname={address} {file}"
