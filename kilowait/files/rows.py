"""Rows of text files whose every complaint names the file, the line, the column and the value."""

import csv
import gzip
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kilowait.core.errors import InputError

_INTEGER = re.compile(r"\s*\+?[0-9]{1,15}\s*", re.ASCII)
_SIGNED = re.compile(r"\s*[+-]?[0-9]{1,15}\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row under its header; `unit` is what `line` counts (Parquet has rows, not lines)."""

    path: Path
    line: int
    values: Mapping[str, str]
    unit: str = "line"

    def wrong(self, column: str, problem: str) -> InputError:
        """The complaint about one cell, for the caller to raise."""
        value = repr(self.values.get(column, ""))
        return InputError(f"{self.path}, {self.unit} {self.line}, column {column}: {problem}, got {value}")

    def empty(self, column: str) -> bool:
        """Whether the file has no such column, or nothing stands in it."""
        return not self.values.get(column, "").strip()

    def text(self, column: str) -> str:
        """The text of a cell without the blanks around it; raises InputError where it is empty."""
        if self.empty(column):
            raise self.wrong(column, "must not be empty")
        return self.values[column].strip()

    def optional(self, column: str) -> str | None:
        """The text of a cell without the blanks around it, None where it is empty."""
        return None if self.empty(column) else self.text(column)

    def parts(self, column: str) -> frozenset[str] | None:
        """The names that stand between vertical bars, None where the cell is empty."""
        if self.empty(column):
            return None
        return frozenset(part.strip() for part in self.text(column).split("|") if part.strip())

    def finite(self, column: str) -> float:
        """Any finite number; raises InputError for everything else."""
        text = self.values.get(column, "")
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise self.wrong(column, "must be a finite number")
        return number

    def number(self, column: str, *, positive: bool = False) -> float:
        """A finite number >= 0, or > 0; raises InputError for everything else."""
        text = self.values[column]
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number) or number < 0 or (positive and number == 0):
            raise self.wrong(column, f"must be a finite number {'> 0' if positive else '>= 0'}")
        return number

    def whole(self, column: str) -> int:
        """A whole number >= 1; raises InputError for everything else."""
        text = self.values[column]
        if not _INTEGER.fullmatch(text) or int(text) < 1:
            raise self.wrong(column, "must be a whole number >= 1")
        return int(text)

    def integer(self, column: str) -> int:
        """A whole number of either sign, 0 where the cell is empty; raises InputError for everything else."""
        if self.empty(column):
            return 0
        text = self.values[column]
        if not _SIGNED.fullmatch(text):
            raise self.wrong(column, "must be a whole number, or empty for 0")
        return int(text)


def read_csv(
    path: Path, check_header: Callable[[Sequence[str]], None], *, headless: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows under the header, which `check_header` may refuse; blank lines are skipped, `.gz` is unpacked.

    A file whose first line holds none of the columns `headless` has no header: they are its columns. Raises
    InputError for a file that is not readable as UTF-8 CSV and for a row of another length than the header.
    """
    lines = _fields(path)
    line, first_fields = next(lines, (1, []))
    names = [column.strip() for column in first_fields]
    has_no_header = bool(headless) and bool(names) and not set(names) & set(headless)
    header = list(headless) if has_no_header else names
    check_header(header)
    if has_no_header:
        yield _row(path, line, header, first_fields)
    for line, fields in lines:
        if fields:
            yield _row(path, line, header, fields)


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields, blank lines included."""
    with readable(path), open_text(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            for fields in reader:
                yield reader.line_num, fields
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: not readable as CSV: {error}") from error


def needs(path: Path, columns: Sequence[str], optional: Sequence[str] | None = None) -> Callable[[Sequence[str]], None]:
    """A check of a header: each of `columns` must stand in it once. Others may, and are not read; or, where it says
    which are `optional`, these alone may, once each."""

    def check_once(column: str, header: Sequence[str]) -> None:
        if header.count(column) > 1:
            raise InputError(f"{path}, line 1, column {column}: stands {header.count(column)} times")

    def check(header: Sequence[str]) -> None:
        if not header:
            raise InputError(f"{path}, line 1: no header; it needs the columns {', '.join(columns)}")
        for column in columns:
            if column not in header:
                raise InputError(f"{path}, line 1, column {column}: missing; the file has {', '.join(header)}")
            check_once(column, header)
        if optional is None:
            return
        for column in header:
            if column not in (known := (*columns, *optional)):
                raise InputError(f"{path}, line 1, column {column!r}: unknown; there are {', '.join(known)}")
            check_once(column, header)

    return check


def open_text(path: Path) -> IO[str]:
    """A text file for reading, unpacked when its name ends in .gz; a byte order mark is passed over."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what the operating system and decoders raise into InputError naming the file."""
    try:
        yield
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: not readable as gzip: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is damaged or cut off: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error


def _row(path: Path, line: int, header: Sequence[str], fields: Sequence[str]) -> Row:
    if len(fields) != len(header):
        raise InputError(f"{path}, line {line}: {len(fields)} values under {len(header)} columns: {','.join(fields)!r}")
    return Row(path=path, line=line, values=dict(zip(header, fields, strict=True)))
