"""Finished jobs as Slurm's plugin jobcomp/filetxt writes them: for sites without a slurmdbd.

A line a job, `JobId=7 UserId=ada(1000) ... Name=train JobState=COMPLETED ...`. It has no comment, so nothing is joined
to a prediction; how long jobs of a user and name took it says.
"""

import re
from collections.abc import Mapping
from datetime import tzinfo

from kilowait.advise.slurm.accounting import AccountedJob, exit_code_of, gpus_of, moment_s

HEAD = "JobId="
_FIELD = re.compile(r"(?:^|(?<= ))([A-Z][A-Za-z]+)=(.*?)(?= [A-Z][A-Za-z]+=|\s*$)")


def read_completions(text: str, zone: tzinfo | None) -> list[AccountedJob]:
    """Of a whole file; times are in `zone` (None: this machine's). Lines that are none are left out."""
    lines = [line for line in text.splitlines() if line.startswith(HEAD)]
    return [_job(dict(_FIELD.findall(line)), zone) for line in lines]


def _job(row: Mapping[str, str], zone: tzinfo | None) -> AccountedJob:
    start_s, end_s = moment_s(row.get("StartTime", ""), zone), moment_s(row.get("EndTime", ""), zone)
    limit = row.get("TimeLimit", "")
    return AccountedJob(
        job_id=row["JobId"],
        cluster=row.get("Cluster", ""),
        user=row.get("UserId", "").partition("(")[0],
        state=row.get("JobState", ""),
        exit_code=exit_code_of(row.get("ExitCode", "0:0")),
        submit_s=moment_s(row.get("SubmitTime", ""), zone),
        end_s=end_s,
        elapsed_s=max(0.0, end_s - start_s) if start_s else 0.0,
        limit_s=60.0 * int(limit) if limit.isdigit() else None,
        gpus=gpus_of(row.get("Tres", "")),
        energy_j=None,
        comment="",
        name=row.get("Name", ""),
    )
