"""The service over HTTP on a real Ray cluster of pretended GPUs: what is accepted, shown, refused and explained."""

import base64
import io
import os
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from kilowait.files.columns import HISTORY
from kilowait.predict.dryrun.sandbox import sandbox_available
from serve.runner.gang import NAMESPACE
from serve.scheduler.scheduler import NAME

QUICK = "print('quick')\n"
TRAINING = """\
import argparse
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
model = torch.nn.Linear(2048, 2048).to("cuda")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(parser.parse_args().epochs):
    for step in range(20):
        loss = model(torch.randn(4096, 2048, device="cuda")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
SANDBOX = sandbox_available() is None
SLOW = "import os, time\nprint('begins', os.environ['KILOWAIT_JOB_ID'], flush=True)\ntime.sleep(3600)\n"
"""Runs until it is cancelled; its dry run, which is no job, fails at once."""


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


def problem(answer, status):
    """The body of a refusal, which always names a remedy."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["remedy"]
    return body


def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "/") + ".py", text)
    return base64.b64encode(out.getvalue()).decode()


def test_a_prediction_names_its_probe_and_where_each_number_is_from(world):
    body = {"source": "# gpus: 2\nimport torch\n"}
    first, again = (world.call("POST", "/v1/predict", "reader", json=body).json() for _ in range(2))
    assert (first["cached"], again["cached"]) == (False, True)
    assert {k: v for k, v in first.items() if k != "cached"} == {k: v for k, v in again.items() if k != "cached"}
    assert {"cpu-1", "cpu-2", "A100", "A6000"} == first["by_type"].keys()
    assert first["asks_for"]["gpus"] == 2
    assert {one["provenance"] for one in first["by_type"].values()} == {"modelled"}
    assert first["dry_run"].startswith("failed: it does nothing with tensors") or not SANDBOX
    assert first["by_type"]["A100"]["features"].endswith("+standin")
    assert not first["by_type"]["cpu-1"]["features"].endswith("+standin")
    assert len(first["probe_version"]) == 12


@pytest.mark.skipif(not SANDBOX, reason="no sandbox for dry runs here")
def test_gpu_types_are_predicted_from_a_dry_run(world):
    job_ids = [world.submit(TRAINING, "bob", arguments=["--epochs", str(n)]) for n in (1, 100)]
    one, many = (world.get(f"/v1/jobs/{job_id}", "bob")["by_type"] for job_id in job_ids)
    for job_id in job_ids:
        world.call("POST", f"/v1/jobs/{job_id}/cancel", "bob")
    two = world.call("POST", "/v1/predict", json={"source": "# gpus: 2\n" + TRAINING}).json()
    assert two["dry_run"].startswith("whole, 20 optimizer steps")
    for name in ("A100", "A6000"):
        assert one[name]["features"] == many[name]["features"] == two["by_type"][name]["features"] == "dry-run"
        assert one[name]["runtime_low_s"] < one[name]["runtime_s"] < one[name]["runtime_high_s"]
        assert 90 < many[name]["runtime_s"] / one[name]["runtime_s"] < 101
        assert two["by_type"][name]["runtime_s"] != one[name]["runtime_s"]


def test_a_job_goes_all_the_way(world):
    answer = world.call("POST", "/v1/jobs", json={"source": QUICK, "labels": {"team": "vision"}, "priority": 3})
    job_id = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/v1/jobs/{job_id}"
    job = world.over(job_id)
    assert (job["state"], job["owner"], job["labels"], job["priority"]) == ("finished", "ada", {"team": "vision"}, 3)
    (attempt,) = job["attempts"]
    assert attempt["runtime_s"]["provenance"] == attempt["energy_kwh"]["provenance"] == "pretended"
    assert attempt["started_s"] >= attempt["placed_s"] >= job["submitted_s"]
    piece = world.get(f"/v1/jobs/{job_id}/logs")
    assert (piece["text"], piece["ended"], piece["next"]) == ("quick\n", True, 6)
    assert world.get(f"/v1/jobs/{job_id}/logs?offset=3")["text"] == "ck\n"
    why = world.get(f"/v1/jobs/{job_id}/why")
    chosen = [option["gpu_type"] for option in why["types"] if option["chosen"]]
    assert chosen == [attempt["gpu_type"]]


def test_a_running_job_says_how_far_it_is_and_when_it_is_expected_to_end_by_that(world):
    text = "import time\nfor n in range(1, 401):\n    time.sleep(0.05)\n    print(f'step {n}/400', flush=True)\n"
    job_id = world.submit(text, "ada")
    world.until(lambda: (world.get(f"/v1/jobs/{job_id}")["progress"] or {}).get("steps"))
    job = world.get(f"/v1/jobs/{job_id}")
    steps, placed_s = job["progress"]["steps"], job["attempts"][-1]["placed_s"]
    assert (steps["total"], steps["done_provenance"], steps["provenance"]) == (400, "measured", "estimated")
    assert 20 <= steps["done"] <= 400
    assert steps["end_low_s"] <= steps["end_s"] <= steps["end_high_s"]
    assert steps["ratio"] == pytest.approx(steps["runtime_s"] / job["progress"]["predicted_s"])
    assert steps["end_s"] == pytest.approx(placed_s + steps["runtime_s"])
    assert world.get(f"/v1/jobs/{job_id}/why")["steps"]["total"] == 400
    world.call("POST", f"/v1/jobs/{job_id}/cancel")


def test_several_files_run_from_their_entrypoint_with_arguments(world):
    archive = zipped(train="import sys\nfrom lib.words import say\nsay(sys.argv[1:])\n", lib__words="say = print\n")
    asked = {"archive": archive, "entrypoint": "train.py", "arguments": ["--steps", "3"], "environment": {"A": "b"}}
    answer = world.call("POST", "/v1/jobs", json=asked)
    assert answer.status_code == 201, answer.text
    job = world.over(answer.json()["job_id"])
    assert (job["state"], job["reason"]) == ("finished", None)
    assert world.get(f"/v1/jobs/{job['job_id']}/logs")["text"] == "['--steps', '3']\n"


def test_the_same_key_is_the_same_job_and_another_text_by_it_is_a_conflict(world):
    asked = {"source": QUICK + "# once\n"}
    headers = {"Idempotency-Key": "once"}
    first, again = (world.call("POST", "/v1/jobs", json=asked, headers=headers).json() for _ in range(2))
    assert first["job_id"] == again["job_id"]
    other = world.call("POST", "/v1/jobs", json={"source": "print(1)"}, headers=headers)
    assert problem(other, 409)["field"] == "Idempotency-Key"
    assert world.call("POST", "/v1/jobs", "bob", json=asked, headers=headers).json()["job_id"] != first["job_id"]


def test_everyone_sees_and_cancels_only_their_own(world):
    job_id = world.submit(QUICK, "bob")
    for path in ("", "/why", "/logs", "/cancel"):
        method = "POST" if path == "/cancel" else "GET"
        assert problem(world.call(method, f"/v1/jobs/{job_id}{path}"), 404)["field"] == "job_id"
    assert job_id not in {job["job_id"] for job in world.get("/v1/jobs?limit=1000")["jobs"]}
    assert job_id in {job["job_id"] for job in world.get("/v1/jobs?limit=1000", "operator")["jobs"]}
    assert world.get(f"/v1/jobs/{job_id}", "operator")["owner"] == "bob"
    assert {job["owner"] for job in world.get("/v1/jobs?owner=bob", "operator")["jobs"]} == {"bob"}


def test_a_list_goes_on_where_it_ended(world):
    mine = [world.submit(QUICK) for _ in range(3)]
    found, after = [], ""
    while after is not None:
        page = world.get(f"/v1/jobs?limit=2&after={after}")
        assert len(page["jobs"]) <= 2
        found += [job["job_id"] for job in page["jobs"]]
        after = page["next"]
    assert found == sorted(set(found))
    assert set(mine) <= set(found)


def test_waiting_running_cancelled_and_why(world):
    blockers = [world.submit(SLOW + f"# {n}\n") for n in range(2)]
    world.until(lambda: all(world.get(f"/v1/jobs/{one}")["progress"] for one in blockers))
    progress = world.get(f"/v1/jobs/{blockers[0]}")["progress"]
    assert progress["share"] == pytest.approx(progress["run_s"] / progress["predicted_s"])
    waits = world.submit(QUICK, deadline="2020-01-01T00:00:00+00:00")
    job = world.get(f"/v1/jobs/{waits}")
    assert (job["state"], job["expected"]["late"]) == ("waiting", True)
    assert job["expected"]["start_low_s"] <= job["expected"]["start_s"] <= job["expected"]["start_high_s"]
    why = world.get(f"/v1/jobs/{waits}/why")
    assert "no type that it may use has enough free GPUs" in why["summary"]
    assert [(o["gpu_type"], o["free"], o["ahead"]) for o in why["types"]] == [("A100", 0, 0), ("A6000", 0, 0)]
    assert all("the next job there must end" in text for text in why["would_change"])
    assert why["interval_basis"]
    assert world.call("POST", f"/v1/jobs/{waits}/cancel").json()["state"] == "cancelled"
    what = world.call("POST", "/v1/what-if", "reader", json={"source": QUICK, "gpu_types": ["A6000"]}).json()
    assert [one["gpu_type"] for one in what["held_to"]] == ["A6000"]
    assert what["free_choice"]["expected"]["start_s"] >= what["now_s"] - 1
    cluster = world.get("/v1/cluster", "reader")
    assert [(t["gpu_type"], t["total"], t["free"], t["jobs_running"]) for t in cluster["types"]] == [
        ("A100", 1, 0, 1),
        ("A6000", 1, 0, 1),
    ]
    for one in blockers:
        assert world.call("POST", f"/v1/jobs/{one}/cancel").status_code == 202
    assert [world.over(one)["state"] for one in blockers] == ["cancelled"] * 2
    text = problem(world.call("POST", f"/v1/jobs/{world.over(world.submit(QUICK))['job_id']}/cancel"), 409)["detail"]
    assert "it is finished; it cannot be cancelled" in text


def test_a_log_is_streamed_while_the_job_runs(world):
    """The job writes its second line only once the first has been read."""
    read = world.shared / "read"
    text = (
        "import os, time\nos.environ['KILOWAIT_JOB_ID']  # a dry run, which is no job, ends here\n"
        "print(0, flush=True)\n"
        f"while not os.path.exists({str(read)!r}):\n    time.sleep(0.05)\nprint(1)\n"
    )
    job_id = world.submit(text)
    with world.call("GET", f"/v1/jobs/{job_id}/logs?follow=true", stream=True) as stream:
        pieces = stream.iter_content(None)
        assert next(pieces) == b"0\n"
        read.touch()
        assert b"".join(pieces) == b"1\n"


def test_the_history_is_exported_whole_as_csv_and_parquet(world):
    job_id = world.over(world.submit(QUICK))["job_id"]
    answer = world.call("GET", "/v1/history?format=parquet")
    table = pq.read_table(pa.BufferReader(answer.content))
    assert table.schema.names == HISTORY.names
    rows = {row["job_id"]: row for row in table.to_pylist()}
    assert set(table["owner"].to_pylist()) == {"ada"}
    assert (rows[job_id]["state"], rows[job_id]["predicted_provenance"]) == ("finished", "modelled")
    lines = world.call("GET", "/v1/history?format=csv").text.splitlines()
    assert (lines[0].split(","), len(lines)) == (HISTORY.names, table.num_rows + 1)
    assert problem(world.call("GET", "/v1/history?format=xls"), 422)["field"] == "format"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "body"),
        ({"source": "x=1", "archive": "eA=="}, 422, "body"),
        ({"source": "x=1", "gpu": 1}, 422, "gpu"),
        ({"source": "x=1", "gpus": 0}, 422, "gpus"),
        ({"source": "x=1", "gpus": 64}, 422, "gpus"),
        ({"source": "x=1", "gpu_types": ["A1OO"]}, 422, "gpu_types"),
        ({"source": "x=1", "gpu_types": ["H100"]}, 422, "gpu_types"),
        ({"source": "  \n"}, 422, "source"),
        ({"source": "a\u0000b"}, 422, "source"),
        ({"source": "x" * 1_000_001}, 422, "source"),
        ({"source": "x=1", "deadline": "2026-01-01T00:00:00"}, 422, "body"),
        ({"source": "x=1", "timeout_s": -1}, 422, "timeout_s"),
        ({"source": "x=1", "labels": {"a\nb": "c"}}, 422, "labels"),
        ({"source": "x=1", "entrypoint": "../x.py"}, 422, "entrypoint"),
        ({"archive": "not base64!"}, 422, "archive"),
        ({"archive": base64.b64encode(b"no zip").decode()}, 422, "archive"),
        ({"archive": zipped(other="x = 1")}, 422, "entrypoint"),
        ({"archive": zipped(main="#" * 9_000_000)}, 413, "archive"),
    ],
)
def test_what_is_refused_is_named_with_a_remedy_and_nothing_is_kept(world, body, status, field):
    before = len(world.get("/v1/jobs?limit=1000")["jobs"])
    assert problem(world.call("POST", "/v1/jobs", json=body), status)["field"] == field
    assert len(world.get("/v1/jobs?limit=1000")["jobs"]) == before


def test_a_body_that_is_too_large_or_no_json_is_refused(world):
    assert problem(world.call("POST", "/v1/jobs", data=b"x" * 8_000_001), 413)["field"] == "body"
    chunks = (b"x" * 1_000_000 for _ in range(9))  # without a Content-Length
    assert problem(world.call("POST", "/v1/jobs", data=chunks), 413)
    assert problem(world.call("POST", "/v1/jobs", data=b"{", headers={"Content-Type": "application/json"}), 422)
    assert problem(world.call("GET", "/v1/nothing"), 404)


def test_tokens_open_what_their_role_may_and_nothing_after_they_are_revoked(world):
    assert problem(world.call("GET", "/v1/cluster", None), 401)["field"] == "Authorization"
    assert world.call("GET", "/v1/cluster", None).headers["WWW-Authenticate"].startswith("Bearer")
    assert problem(world.call("POST", "/v1/jobs", "reader", json={"source": QUICK}), 403)
    assert problem(world.call("GET", "/v1/tokens"), 403)
    made = world.call("POST", "/v1/tokens", "operator", json={"owner": "eve", "role": "read"})
    world.tokens["eve"] = made.json()["token"]
    assert world.call("GET", "/v1/cluster", "eve").status_code == 200
    listed = world.get("/v1/tokens", "operator")["tokens"]
    assert "secret" not in str(listed)
    eve = next(token["token_id"] for token in listed if token["owner"] == "eve")
    assert world.call("DELETE", f"/v1/tokens/{eve}", "operator").status_code == 204
    assert problem(world.call("GET", "/v1/cluster", "eve"), 401)
    world.tokens["nobody"] = "kw_000000000000_guess"
    assert problem(world.call("GET", "/v1/cluster", "nobody"), 401)


def test_health_and_the_description_need_no_token(world):
    assert world.get("/v1/health", None) == {**world.get("/v1/health", None), "status": "ok", "predictor": "ok"}
    described = world.get("/v1/openapi.json", None)
    assert {"/v1/predict", "/v1/jobs", "/v1/what-if", "/v1/history"} <= described["paths"].keys()
    assert "ProblemDetails" in described["components"]["schemas"]


def test_more_predictions_than_can_wait_are_sent_away_and_told_when_to_come_back(world):
    body = "import torch\n" * 20

    def ask(number):
        return world.call("POST", "/v1/predict", "reader", json={"source": f"# {number}\n{body}"})

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(ask, range(60)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < 60
    for answer in refused:
        assert problem(answer, 503)["title"] == "predictor busy"
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_scheduler_that_is_killed_comes_back_with_every_job(world):
    before = [job["job_id"] for job in world.get("/v1/jobs?limit=1000", "operator")["jobs"]]
    scheduler = ray.get_actor(NAME, namespace=NAMESPACE)
    os.kill(ray.get(scheduler.status.remote())["pid"], signal.SIGKILL)
    world.until(lambda: world.call("GET", "/v1/health", None).status_code == 200)
    assert [job["job_id"] for job in world.get("/v1/jobs?limit=1000", "operator")["jobs"]] == before
    assert world.over(world.submit(QUICK))["state"] == "finished"
