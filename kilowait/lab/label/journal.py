"""The journal of a labelling campaign: one JSON line a run, on disk before the next run starts.

A kill loses at most the run in flight: a torn last line is cut off when the journal is opened. One campaign holds
a journal at a time. The Parquet tables are made from it.
"""

import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from kilowait.core.errors import InputError
from kilowait.measure.measured_run import MeasuredRun


class Journal:
    """All runs so far, in memory and on disk; `add` may be called from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises InputError when it is damaged or another campaign holds it."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._by_key: dict[tuple[str, str], list[MeasuredRun]] = defaultdict(list)
        self._runs: list[MeasuredRun] = []
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except BlockingIOError as error:
            os.close(self._fd)
            raise InputError(f"{path}: another campaign is writing it; wait for it or use another --out") from error
        except InputError:
            os.close(self._fd)
            raise

    def _load(self) -> None:
        data = self.path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        if len(complete) < len(data):  # the run that was in flight when the campaign was killed
            os.ftruncate(self._fd, len(complete))
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                self._remember(MeasuredRun.from_json(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}, line {number}: not a recorded run ({error}); remove the line"
                ) from error

    def _remember(self, run: MeasuredRun) -> None:
        self._runs.append(run)
        self._by_key[run.content_hash, run.device_type].append(run)

    def add(self, run: MeasuredRun) -> None:
        """Append durably: when this returns, the run survives a kill or a power cut."""
        line = run.to_json().encode() + b"\n"
        with self._lock:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(f"{self.path}: wrote {written} of {len(line)} bytes; is the disk full?")
            os.fsync(self._fd)
            self._remember(run)

    def runs(self) -> Sequence[MeasuredRun]:
        """Every run, in the order in which they were made."""
        with self._lock:
            return tuple(self._runs)

    def of(self, content_hash: str, device_type: str) -> Sequence[MeasuredRun]:
        """The runs of one script on one device type."""
        with self._lock:
            return tuple(self._by_key.get((content_hash, device_type), ()))

    def by_key(self) -> Mapping[tuple[str, str], Sequence[MeasuredRun]]:
        """The runs by (content hash, device type)."""
        with self._lock:
            return {key: tuple(runs) for key, runs in self._by_key.items()}

    def close(self) -> None:
        """Let another campaign have it."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
