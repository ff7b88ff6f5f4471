"""Rows of a history: of a service over HTTP, of a database, or of a file that `kilowait history` wrote."""

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kilowait.cli.of_service.speaking import client_of
from kilowait.core.errors import InputError
from kilowait.files.rows import readable

PAGE = 1000


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Declare `--database`, `--history`, `--url` and `--token`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--database", metavar="URL", help="a history itself: sqlite:///PATH, a path, postgresql://...")
    source.add_argument("--history", type=Path, metavar="FILE", help="what `kilowait history` wrote as CSV")
    source.add_argument("--url", help="the service (default: KILOWAIT_URL, else http://127.0.0.1:8000)")
    parser.add_argument("--token", help="the token (default: KILOWAIT_TOKEN); an operator's sees everybody's jobs")


def rows_of(args: argparse.Namespace) -> Sequence[Mapping[str, Any]]:
    """Every attempt that has ended; raises InputError, ServiceError and StoreError."""
    if args.database:
        return _of_database(args.database)
    if args.history:
        with readable(args.history):
            return _of_text(str(args.history), args.history.read_text(encoding="utf-8-sig"))
    client = client_of(args)
    return _of_text(client.url, client.history().decode())


def _of_text(where: str, text: str) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = list(csv.DictReader(io.StringIO(text, newline="")))
    if not text.startswith("job_id,") or (rows and None in rows[-1]):
        raise InputError(f"{where}: no history; export one with: kilowait history --format csv --out FILE")
    return rows


def _of_database(url: str) -> list[Mapping[str, Any]]:
    from kilowait.history.database_url import parse_url, sqlite_file
    from kilowait.history.queries import history
    from kilowait.history.store import Store

    file = sqlite_file(parse_url(url))
    if file is not None and not file.is_file():
        raise InputError(f"--database {url}: no such file")  # opening would make one
    store, rows = Store(url), list[Mapping[str, Any]]()
    try:
        while not len(rows) % PAGE:
            after = (rows[-1]["job_id"], rows[-1]["attempt"]) if rows else ("", 0)
            page = history(store, after=after, limit=PAGE)
            rows += page
            if not page:
                break
    finally:
        store.close()
    return rows
