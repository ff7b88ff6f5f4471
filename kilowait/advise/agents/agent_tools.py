"""The tools of an agent as plain functions: paths inside one folder in, JSON out."""

import os
from collections.abc import Mapping, Sequence
from csv import DictReader
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from kilowait.advise.advice import Advice
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.client.client import Client, job_of
from kilowait.core.errors import InputError
from kilowait.core.hardware import canonical
from kilowait.predict.one_shot import BESIDE
from kilowait.program.read import read_file
from kilowait.report.consumption.attempt_use import attempt_uses
from kilowait.report.consumption.usage_report import usage_report
from kilowait.report.consumption.use_rates import Rates

MOST_ATTEMPTS = 50
"""Of a history, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTools:
    """Programs are files of `root`; the service, where one is needed, is at `url`. Raises what both raise."""

    root: Path
    url: str
    token: str | None

    def predict(
        self, path: str, arguments: Sequence[str], gpu_types: Sequence[str], gpus: int | None
    ) -> Mapping[str, Any]:
        """Everything that is known of a program before it runs."""
        return self._advice(path, arguments, gpu_types, gpus).to_dict()

    def fits(
        self, path: str, arguments: Sequence[str], gpu_types: Sequence[str], gpus: int | None
    ) -> Mapping[str, Any]:
        """By type whether its memory is enough, and how much it needs on each GPU."""
        advice = self._advice(path, arguments, gpu_types, gpus)
        return {
            "gpus": advice.gpus,
            "by_type": {
                name: {
                    "fitting": on.fitting or "not known",
                    "memory_bytes": on.memory_bytes,
                    "memory_high_bytes": on.memory_high_bytes,
                }
                for name, on in advice.by_type.items()
            },
            "dry_run": advice.dry_run,
            "provenance": "modelled",
        }

    def what_if(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a job would get now."""
        answer: Mapping[str, Any] = self._client().what_if(job)
        return answer

    def why(self, job_id: str) -> Mapping[str, Any]:
        """Why a job waits, or got its type."""
        answer: Mapping[str, Any] = self._client().why(job_id)
        return answer

    def cluster(self) -> Mapping[str, Any]:
        """GPUs and nodes."""
        answer: Mapping[str, Any] = self._client().cluster()
        return answer

    def history(self, owner: str | None) -> Mapping[str, Any]:
        """Sums over all attempts that have ended, and the newest of them."""
        rows = list(DictReader(StringIO(self._client().history().decode(), newline="")))
        meant = [row for row in rows if owner in (None, row["owner"])]
        uses = attempt_uses(meant)
        report = usage_report(uses, Rates(), "everything that has ended")
        newest = sorted(meant, key=lambda row: float(row["ended_s"]))[-MOST_ATTEMPTS:]
        return {
            "total": report["total"],
            "by": {name: report["by"][name] for name in ("owner", "gpu_type")},
            "findings": report["findings"][:MOST_ATTEMPTS],
            "newest": newest,
            "basis": report["basis"],
        }

    def submit(self, job: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Submit a job that somebody has confirmed; the same key is the same job."""
        answer: Mapping[str, Any] = self._client().submit(job, key)
        return answer

    def job(self, path: str, arguments: Sequence[str], gpu_types: Sequence[str], gpus: int | None) -> dict[str, Any]:
        """A program as the service takes it."""
        types = [canonical(name) for name in gpu_types] or None
        return job_of(self._file(path), arguments=list(arguments) or None, gpu_types=types, gpus=gpus)

    def _advice(self, path: str, arguments: Sequence[str], gpu_types: Sequence[str], gpus: int | None) -> Advice:
        file = self._file(path)
        types = tuple(canonical(name) for name in gpu_types or BESIDE)
        reading = read_file(file, arguments)
        return advice_of(AdviceQuestion(reading=reading, gpus=gpus, gpu_types=types, root=file.parent), os.environ)

    def _file(self, path: str) -> Path:
        """A file inside of the folder, wherever links lead; raises InputError for any other."""
        root = self.root.resolve()
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            raise InputError(f"{path}: outside of {root}, the folder that this server may read; start it with --root")
        if not file.is_file():
            raise InputError(f"{path}: no such file in {root}")
        return file

    def _client(self) -> Client:
        return Client(self.url, self.token, patience_s=10.0)
