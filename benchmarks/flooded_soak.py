"""Both halves of a soak with users, and what became of their jobs: alone, and beside one who floods the service."""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.flood import Half, planned
from benchmarks.json_record import keep
from benchmarks.pretended_service import PretendedService, jobs_of
from benchmarks.soak import NODES, run_twice, troubles
from benchmarks.troubled_database import TroubledDatabase

HALVES = "alone", "beside the flood"
WARM_JOBS, WARM_GAP_S = 20, 2.0
"""Jobs of all kinds before either half, which find all of it cold: they are not of the waits."""


def flooded(args: argparse.Namespace) -> int:
    """Run both halves and print what became of the jobs, and who waited how long; 1 if one was lost, made twice, ran
    twice, or has not kept what it was to keep."""
    began_s, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="kilowait-soak-") as folder, ExitStack() as ending:
        own_disk = args.disk_fulls > 0
        database = ending.enter_context(closing(TroubledDatabase(Path(folder), args.database, own_disk=own_disk)))
        nodes = {name: (gpu_type, args.boards) for name, (gpu_type, _) in NODES.items()}
        service = PretendedService(Path(folder), args.policy, database.url, **nodes)
        ending.callback(service.close)
        quota = {name: value for name in ("gpus", "jobs") if (value := getattr(args, f"quota_{name}")) is not None}
        if quota:
            service.client().set_quota("everybody", quota)
        rng = Random(args.seed)
        acts = {**troubles(service, rng), "database": database.lose, "disk": database.fill_disk}
        times = {
            "scheduler": args.scheduler_kills,
            "node": args.node_kills,
            "database": args.database_losses,
            "disk": args.disk_fulls,
        }
        users = [f"user-{number}" for number in range(args.users)]
        warm = Half(service, "warming-up", users, planned(users, WARM_JOBS, WARM_GAP_S))
        warm.run(0, 0.0, [], args.timeout_s)
        due = planned(users, args.jobs, args.gap_s)
        kinds = [kind for kind, count in times.items() for _ in range(count)]
        troubling = [(rng.uniform(0.0, due[-1].at_s), acts[kind]) for kind in kinds]
        halves = []
        for name, flood in zip(HALVES, (0, args.flood), strict=True):
            halves.append(Half(service, name.replace(" ", "-"), users, due))
            halves[-1].run(flood, args.flood_s, troubling, args.timeout_s)
        made, missing = len(jobs_of(service)), sum(half.outputs_missing() for half in (warm, *halves))
        marks, unanswered = service.world.marked(), service.unanswered
    found = _found(warm, halves, made, missing, marks)
    found |= {"flood_s": args.flood_s, "troubles": times, "policy": args.policy, "database": args.database}
    found |= {"quota": quota, "boards": args.boards * len(NODES), "took_s": time.monotonic() - began_s, "load": load}
    keep({**found, "asked_again": dict(unanswered)}, args.json)
    _say(found, unanswered)
    faults = ("lost", "made_twice", "run_twice", "outputs_missing")
    return 1 if any(found[name] for name in faults) else 0


def _found(
    warm: Half, halves: list[Half], made: int, missing: int, marks: list[tuple[str, str, str]]
) -> dict[str, Any]:
    """What became of all jobs, and the waits by user in the two halves."""
    accepted = sum(len(half.ids) + len(half.flood_ids) for half in (warm, *halves))
    wanted = sum(half.jobs for half in (warm, *halves))
    twice = run_twice(marks)
    overlapping = {job for job, _, word in marks if word == "overlaps"}
    waits = _waits(*halves)
    return {
        "jobs": wanted,
        "warming_up": warm.jobs,
        "kinds": dict(sum((half.kinds for half in (warm, *halves)), Counter[str]())),
        "flood": len(halves[1].flood_ids),
        "flood_refused": halves[1].refused,
        "lost": wanted - sum(half.states()["finished"] for half in (warm, *halves)),
        "made_twice": made - accepted,
        "run_twice": len(twice),
        "ran_twice": sorted(twice),
        "at_one_time": len(overlapping),
        "outputs_missing": missing,
        "busy_share_alone": halves[0].busy_share,
        "busy_share_beside": halves[1].busy_share,
        "worst_whole_ratio": max(row["whole_ratio"] for row in waits),
        "worst_ratio": max(row["beside_s"] / row["alone_s"] for row in waits),
        "worst_answer_ratio": max(row["answer_beside_s"] / row["answer_alone_s"] for row in waits),
        "p95_waits": waits,
    }


def _waits(alone: Half, beside: Half) -> list[dict[str, Any]]:
    """By user, the 95% quantiles of both halves."""
    alone_s, beside_s = alone.waits_s(), beside.waits_s()
    whole_alone_s, whole_beside_s = alone.whole_waits_s(), beside.whole_waits_s()
    answer_alone_s, answer_beside_s = alone.p95_answers_s(), beside.p95_answers_s()
    return [
        {
            "user": user,
            "alone_s": alone_s[user],
            "beside_s": beside_s[user],
            "whole_alone_s": whole_alone_s[user],
            "whole_beside_s": whole_beside_s[user],
            "whole_ratio": whole_beside_s[user] / whole_alone_s[user],
            "answer_alone_s": answer_alone_s[user],
            "answer_beside_s": answer_beside_s[user],
        }
        for user in sorted(alone_s)
    ]


def _say(found: Mapping[str, Any], unanswered: Mapping[str, int]) -> None:
    troubled = ", ".join(f"{name} {count}" for name, count in found["troubles"].items())
    kinds = ", ".join(f"{name} {count}" for name, count in found["kinds"].items())
    print(f"troubles        {troubled}, in each half; {found['database']}; policy {found['policy']}")
    flood = f"{found['flood']} of the flood; {found['flood_refused']} refused"
    print(f"accepted        {found['jobs']} jobs of {len(found['p95_waits'])} users, {flood}")
    print(f"kinds           {kinds}")
    print(f"took            {found['took_s']:.0f} s")
    for reason, count in sorted(unanswered.items(), key=lambda item: -item[1])[:5]:
        print(f"asked again     {count} submissions: {reason}")
    print(f"lost            {found['lost']}")
    print(f"made twice      {found['made_twice']}")
    twice = " ".join(found["ran_twice"])
    print(f"run twice       {found['run_twice']} {twice}, of which at one time {found['at_one_time']}")
    print(f"not kept        {found['outputs_missing']} files")
    for row in found["p95_waits"]:
        told = [
            f"{name} {row[f'{key}alone_s']:.2f} s alone, {row[f'{key}beside_s']:.2f} s beside the flood"
            for name, key in (("whole", "whole_"), ("answer", "answer_"), ("GPUs", ""))
        ]
        print(f"p95 wait        {row['user']}: {'; '.join(told)}")
    busy = f"{found['busy_share_alone']:.0%} alone, {found['busy_share_beside']:.0%} beside the flood"
    print(f"cores busy      {busy}")
    worst = f"whole {found['worst_whole_ratio']:.2f}, answer {found['worst_answer_ratio']:.2f}"
    print(f"worst ratio     {worst}, GPUs {found['worst_ratio']:.2f}")
