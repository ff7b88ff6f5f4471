"""`kilowait fetch`: the files that a job kept, brought here."""

import argparse
import fnmatch
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kilowait.cli.array_jobs.task_names import job_named
from kilowait.core.errors import InputError, ServiceError

if TYPE_CHECKING:
    from kilowait.client.client import Client

Json = Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `fetch` takes."""
    parser.add_argument("job_id", metavar="JOB", help="or a task, as ARRAY:3")
    parser.add_argument("patterns", nargs="*", metavar="PATH", help="these alone; * and ? as in a shell (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write them below this folder (default: ./JOB)")
    parser.add_argument("--list", action="store_true", dest="list_only", help="say which there are, and fetch nothing")


def fetch(args: argparse.Namespace, client: "Client") -> Json:
    """Write the kept files of a job, those of other nodes than the first below rank-N; says each on standard error."""
    args.job_id = job_named(client, args.job_id)
    answer = client.outputs(args.job_id)
    if args.list_only:
        return answer
    out = args.out or Path(args.job_id)
    chosen = [(node["rank"], file) for node in answer["nodes"] for file in node["files"] if _meant(args, file["path"])]
    if not chosen:
        lack = "keeps no such file" if args.patterns and answer["nodes"] else "kept no files"
        raise InputError(f"job {args.job_id} {lack}; files are kept with: kilowait submit --output PATH")
    for rank, file in chosen:
        target = out / _inside(file["path"], rank)
        _write(target, client.output(args.job_id, file["path"], rank=rank), file["bytes"])
        sys.stderr.write(f"{target}  {file['bytes']:,} bytes\n")
    return {"folder": str(out), "files": len(chosen), "bytes": sum(file["bytes"] for _, file in chosen)}


def shown(answer: Json) -> str:
    """What was fetched, or which files there are."""
    if "folder" in answer:
        return f"{answer['files']:,} files ({answer['bytes']:,} bytes) in {answer['folder']}\n"
    lines = []
    for node in answer["nodes"]:
        before = f"rank-{node['rank']}/" if node["rank"] else ""
        lines += [f"{file['bytes']:>15,}  {before}{file['path']}" for file in node["files"]]
        lines += [f"not kept: {', '.join(node['left_names'])} ({node['left']:,} in all)"] if node["left"] else []
        lines += [f"not all was kept: {node['problem']}"] if node["problem"] else []
    return "\n".join(lines or ["no files are kept"]) + "\n"


def _meant(args: argparse.Namespace, path: str) -> bool:
    patterns = [pattern.rstrip("/") for pattern in args.patterns]
    return not patterns or any(fnmatch.fnmatchcase(path, p) or path.startswith(f"{p}/") for p in patterns)


def _inside(path: str, rank: int) -> PurePosixPath:
    """The path below the folder; raises ServiceError for one that leads out of it."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\0" in path or not parts.parts:
        raise ServiceError(f"the service names a file {path!r}, which leads out of the folder; nothing was written")
    return parts if not rank else PurePosixPath(f"rank-{rank}") / parts


def _write(target: Path, pieces: Iterator[bytes], size: int) -> None:
    """Write a file whole or not at all; raises ServiceError where bytes are missing, InputError for a full disk."""
    partial = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        if (came := partial.stat().st_size) != size:
            raise ServiceError(f"{target}: {came:,} of {size:,} bytes came; fetch again")
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); give --out DIR") from error
    finally:
        partial.unlink(missing_ok=True)
