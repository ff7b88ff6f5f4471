"""The `kilowait` command, the metrics and the page against a real service on pretended GPUs."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout

import pytest
from prometheus_client.parser import text_string_to_metric_families
from selenium.webdriver.common.keys import Keys

from kilowait.cli.main import main
from kilowait.client.client import Client, job_of
from kilowait.core.errors import InputError, ServiceError, SourceError
from tests.support.browser import browser

SLOW = "import os, time\nprint('begins', os.environ['KILOWAIT_JOB_ID'], flush=True)\ntime.sleep(3600)\n"
"""Runs until it is cancelled; its dry run, which is no job, fails at once."""


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


@pytest.fixture
def run(world, monkeypatch):
    """Run a command as ada, or as another; returns (exit code, output, errors)."""

    def command(*words, who="ada"):
        monkeypatch.setenv("KILOWAIT_URL", world.address)
        monkeypatch.setenv("KILOWAIT_TOKEN", world.tokens[who])
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main(list(words))
        return code, out.getvalue(), errors.getvalue()

    return command


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("import sys\nprint('argument', *sys.argv[1:])\n")
    return str(path)


def submitted(run, *words):
    code, out, errors = run("submit", "--json", *words)
    assert code == 0, errors
    return json.loads(out)["job_id"]


def test_a_job_from_the_command_line_and_back(run, world, script):
    job_id = submitted(run, script, "--label", "team=vision", "--", "--steps", "3")
    code, out, _ = run("logs", "-f", job_id)
    assert (code, out) == (0, "argument --steps 3\n")
    world.over(job_id)
    assert run("logs", job_id)[1] == "argument --steps 3\n"
    out = run("show", job_id)[1]
    assert f"{job_id}  finished" in out
    assert "labels: team=vision" in out
    assert "(pretended)" in out
    assert job_id in run("ps")[1]
    assert json.loads(run("show", job_id, "--json")[1])["state"] == "finished"
    assert "policy simple: first come, first served" in run("why", job_id)[1]


def test_a_job_says_how_it_is_preempted(run, world, script):
    words = ["--preemptible", "30s", "--checkpoint-signal", "USR1", "--checkpoint-grace", "2m"]
    job_id = submitted(run, script, *words, "--resume-argument=--resume", "--output", "saved/")
    asked = {"restart_s": 30.0, "signal": "USR1", "grace_s": 120.0, "arguments": ["--resume"]}
    assert world.get(f"/v1/jobs/{job_id}")["checkpoint"] == asked
    code, _, errors = run("submit", script, "--checkpoint-grace", "2m")
    assert (code, "need --preemptible TIME" in errors) == (2, True)


def test_waiting_jobs_are_explained_and_cancelled(run, world, tmp_path, script):
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    running = [submitted(run, str(slow)) for _ in range(2)]
    world.until(lambda: all((world.get(f"/v1/jobs/{one}")["progress"] or {}).get("power_w") for one in running))
    waits = submitted(run, script)
    assert "no type that it may use has enough free GPUs" in run("why", waits)[1]
    code, out, _ = run("what-if", script, who="reader")
    assert (code, "left to policy" in out, "all modelled" in out) == (0, True, True)
    assert "2 jobs run, 1 wait" in run("cluster")[1]
    overview = world.get("/v1/overview", "bob")
    assert [(line["job_id"], line["visible"], line["owner"]) for line in overview["queue"]] == [(waits, False, None)]
    assert {line["gpu_type"] for line in overview["running"]} == {"A100", "A6000"}
    progress = {line["gpu_type"]: line["progress"] for line in world.get("/v1/overview")["running"]}
    assert progress["A100"]["power_w"] == {
        "value": 400.0,
        "provenance": "pretended",
    }  # a pretended board draws its peak
    assert run("cancel", waits)[1] == f"{waits}  cancelled\n"
    assert run("cancel", running[0])[1] == f"{running[0]}  its program was asked to end\n"
    run("cancel", running[1])
    assert [world.over(one)["state"] for one in running] == ["cancelled"] * 2


def test_jobs_have_names_and_are_found_awaited_and_cancelled_by_them(run, world, tmp_path, script):
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    mine = [submitted(run, str(slow), "--name", f"sweep-{n}", "--label", f"lr={n}") for n in range(2)]
    other = submitted(run, str(slow), "--name", "Sweep-3")
    listed = json.loads(run("ps", "--name", "sweep-*", "--json")[1])
    assert [(line["job_id"], line["name"], line["labels"]) for line in listed] == [
        (mine[0], "sweep-0", {"lr": "0"}),
        (mine[1], "sweep-1", {"lr": "1"}),
    ]
    newest = json.loads(run("ps", "--label", "lr=1", "--since", "1h", "--json")[1])
    assert [line["job_id"] for line in newest] == mine[1:]
    assert json.loads(run("ps", "--name", "sweep-0", "--until", "1h", "--json")[1]) == []
    assert "sweep-1" in run("ps")[1]
    assert f"{mine[0]} (sweep-0)" in run("show", mine[0])[1]
    with pytest.raises(InputError, match="label"):
        Client(world.address, world.tokens["ada"]).ask("GET", "/v1/jobs", params={"label": "lr"})
    code, out, _ = run("cancel", "--name", "*", who="bob")  # who has none, and reaches nobody else's
    assert (code, out) == (0, "no such job waits or runs\n")
    code, out, _ = run("cancel", *mine, who="bob")
    assert (code, out.count("not cancelled: no job")) == (2, 2)
    code, out, _ = run("cancel", "--name", "sweep-*")
    assert (code, sorted(line.split()[0] for line in out.splitlines())) == (0, mine)
    assert [world.over(one)["state"] for one in mine] == ["cancelled"] * 2
    assert run("cancel", other, mine[0])[0] == 0  # asking again is allowed
    assert run("wait", other, "--timeout-s", "60")[0] == 1
    done = tmp_path / "done.py"
    done.write_text("print('done')\nraise SystemExit(3)\n")
    code, out, errors = run("submit", "--follow", str(done))
    assert (code, out) == (3, "done\n"), errors


def test_files_that_a_job_keeps_are_fetched(run, world, tmp_path):
    path = tmp_path / "saves.py"
    path.write_text(
        "import os\nos.makedirs('checkpoints/1')\n"
        "open('checkpoints/1/model.pt', 'wb').write(bytes(range(256)) * 9000)\n"
        "open('notes.txt', 'w').write('gone')\nraise SystemExit(4)\n"
    )
    job_id = submitted(run, str(path), "--output", "checkpoints/")
    assert world.over(job_id)["state"] == "failed"  # what a failed job kept is there too
    log = run("logs", job_id)[1]
    assert f"[kilowait: 1 files (2,304,000 bytes) are kept: kilowait fetch {job_id}]" in log
    assert "[kilowait: not kept: notes.txt; submit with --output PATH to keep such files]" in log
    assert "checkpoints/1/model.pt" in run("fetch", job_id, "--list")[1]
    out = tmp_path / "fetched"
    code, text, errors = run("fetch", job_id, "--out", str(out))
    assert (code, text) == (0, f"1 files (2,304,000 bytes) in {out}\n"), errors
    assert (out / "checkpoints/1/model.pt").read_bytes() == bytes(range(256)) * 9000
    assert "keeps no such file" in run("fetch", job_id, "*.txt", "--out", str(out))[2]
    assert "no job" in run("fetch", job_id, who="bob")[2]
    code, _, errors = run("submit", str(path), "--output", "../x")
    assert (code, "give a path in the job's folder" in errors) == (2, True)


def test_a_folder_is_sent_without_what_does_not_belong(run, world, tmp_path):
    project = tmp_path / "project"
    for name in ("train.py", "lib/words.py", ".git/config", "__pycache__/x.pyc"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / "train.py").write_text("import pathlib\nprint(sorted(map(str, pathlib.Path('.').rglob('*.*'))))\n")
    (project / "lib/words.py").write_text("say = print\n")
    (project / ".git/config").write_text("secret")
    (project / "__pycache__/x.pyc").write_bytes(b"\xff")
    job_id = submitted(run, str(project), "--entrypoint", "train.py")
    assert world.over(job_id)["state"] == "finished"
    assert "config" not in run("logs", job_id)[1]
    assert "lib/words.py" in run("logs", job_id)[1]
    assert "say which of its files is run" in run("submit", str(project))[2]
    (project / "data.bin").write_bytes(b"\xff\xfe")
    assert "only UTF-8 text is sent" in run("submit", str(project), "--entrypoint", "train.py")[2]


def test_mistakes_are_told_with_the_remedy_and_the_exit_code(run, world, script, tmp_path, monkeypatch):
    for words, told in (
        (("show", "job-99999999"), "no job 'job-99999999' of yours; list yours with"),
        (("submit", script, "--gpus", "64"), "ask for fewer GPUs"),
        (("submit", script, "--deadline", "tomorrow"), "correct deadline"),
        (("submit", str(tmp_path / "none.py")), "none.py: cannot be read"),
        (("token", "list"), "ask an operator for a token of the role operate"),
        (("history", "--format", "parquet"), "give --out FILE"),
    ):
        code, _, errors = run(*words)
        assert (code, told in errors) == (2, True), errors
    monkeypatch.setenv("KILOWAIT_URL", "http://127.0.0.1:9")
    out = io.StringIO()
    with redirect_stderr(out):
        assert main(["ps"]) == 1
    assert "no service answers at http://127.0.0.1:9 (connection refused or lost); start one with: kilowait serve" in (
        out.getvalue()
    )


def test_tokens_and_the_history_from_the_command_line(run, world, tmp_path, script):
    world.over(submitted(run, script))
    code, token, _ = run("token", "create", "--owner", "eve", "--role", "submit", who="operator")
    assert (code, token.startswith("kw_")) == (0, True)
    assert re.search(r"eve +submit", run("token", "list", who="operator")[1])
    assert Client(world.address, token.strip()).cluster()["policy"] == "simple"
    run("token", "revoke", token.split("_")[1], who="operator")
    with pytest.raises(InputError, match="unknown or revoked"):
        Client(world.address, token.strip()).cluster()
    limits = ("--expires", "1h", "--scope", "predict")
    narrow = run("token", "create", "--owner", "ci", "--role", "submit", *limits, who="operator")[1].strip()
    with pytest.raises(InputError, match="the token is for predict, this is of service"):
        Client(world.address, narrow).cluster()
    assert re.search(r"operator .* DELETE /v1/tokens/\{token_id\} +\w{12} +204", run("audit", who="operator")[1])
    assert re.search(r"ada .* POST /v1/jobs +job-\d+ +201", run("audit", "--owner", "ada", who="operator")[1])
    assert run("audit", "--out", str(tmp_path / "audit.csv"), who="operator")[0] == 0
    assert (tmp_path / "audit.csv").read_text().startswith("seq,time_s,owner")
    assert run("history", "--format", "parquet", "--out", str(tmp_path / "h.parquet"))[0] == 0
    assert (tmp_path / "h.parquet").read_bytes()[:4] == b"PAR1"
    assert run("history")[1].startswith("job_id,attempt,owner")
    assert "By GPU type" in run("report", "--owner", "ada")[1]
    database = ("--database", world.url)
    direct = run("token", "create", "--owner", "root", "--role", "operate", *database)[1].strip()
    assert Client(world.address, direct).tokens()


def test_metrics_are_prometheus_and_say_how_each_number_was_had(run, world, script):
    world.over(submitted(run, script))
    answer = world.call("GET", "/metrics", "reader")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    state = {sample.labels["state"]: sample.value for sample in families["kilowait_jobs"].samples}
    assert state == {"waiting": 0, "running": 0, "stranded": 0}
    energy = families["kilowait_energy_kwh"].samples
    assert {sample.labels["provenance"] for sample in energy} == {"pretended"}
    assert sum(sample.value for sample in energy) > 0
    events = {s.labels["event"]: s.value for s in families["kilowait_job_events"].samples if "event" in s.labels}
    waits = [s.value for s in families["kilowait_wait_seconds"].samples if s.name.endswith("_count")]
    assert events["submitted"] >= events["placed"] == waits[0] >= events["finished"] > 0
    for name in ("kilowait_decision_seconds", "kilowait_predictions", "kilowait_energy_saved_today_kwh"):
        assert families[name].samples
    assert world.call("GET", "/metrics", None).status_code == 401


def test_a_service_that_is_no_kilowait_or_no_address_is_told():
    with pytest.raises(InputError, match="'localhost:8000' is no address"):
        Client("localhost:8000")
    with pytest.raises(ServiceError, match="no service answers"):
        Client("http://127.0.0.1:9").cluster()


def test_what_cannot_be_sent_is_refused_before_it_is_sent(tmp_path):
    (tmp_path / "a.py").write_text("pass")
    with pytest.raises(InputError, match="no such file"):
        job_of(tmp_path, "b.py")
    with pytest.raises(InputError, match="is one file"):
        job_of(tmp_path / "a.py", "a.py")
    (tmp_path / "a.py").write_bytes(b"")
    with pytest.raises(SourceError, match="empty"):
        job_of(tmp_path / "a.py")


def page(world, path="/", who="operator"):
    """The address of a page, with the token that its script takes from there."""
    return f"{world.address}{path}#token={world.tokens[who]}"


def test_the_page_shows_the_cluster_in_a_browser(run, world, script, tmp_path):
    finished = world.over(submitted(run, script))["job_id"]
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    jobs = [submitted(run, str(slow)) for _ in range(3)]
    world.until(lambda: world.get("/v1/cluster")["running"] == 2)
    try:
        with browser(tmp_path / "profile") as tab:
            tab.open(page(world))
            tab.shows("Half of today's predictions of run times were within a factor of")
            tab.shows("finished at its first attempt")
            for text in ("live", "The cluster now", "A100", "A6000", *jobs, "pretended", "modelled"):
                tab.shows(text)
            tab.press("The same as a table")
            tab.shows(finished)
            assert tab.driver.find_element("id", "status").text == "live"
            overview = world.get("/v1/overview", "operator")
            of_all = len(overview["accuracy"]) + len(overview["users"]) + len(overview["cluster"]["nodes"])
            rows = 2 + 2 + 1 + of_all
            assert tab.count('[scope="row"]') == rows
            assert tab.count("main") == tab.count("h1") == 1
            reads_the_timeline_by_keys(world, tab, jobs)
            tab.open(page(world, f"/job?id={jobs[2]}"), width_px=400)
            tab.shows("no type that it may use has enough free GPUs")
            tab.shows("What would have to change")
            assert tab.complaints() == []
            tab.open(page(world, f"/job?id={jobs[2]}", "bob"))
            tab.shows("no news: no job")
            assert tab.hosts() == {world.address.removeprefix("http://")}
    finally:
        for job_id in jobs:
            run("cancel", job_id)


def reads_the_timeline_by_keys(world, tab, jobs):
    """Both boards have a job now, and the third job is planned behind one of them."""
    world.until(lambda: tab.count("#timeline .running") == 2)
    assert tab.count("#timeline .planned") == 1
    assert tab.count('#timeline [tabindex="0"]') == 1  # one stop on the way through the page
    first = tab.driver.find_element("css selector", '#timeline [tabindex="0"]')
    first.send_keys(Keys.END)
    planned = tab.driver.switch_to.active_element
    assert re.fullmatch(rf"{jobs[2]} of ada, planned: to start .*, on 1 × A\d+, .*", planned.accessible_name)
    assert jobs[2] in tab.driver.find_element("id", "pointed").text
    before, other, key = (
        (*jobs[:2], Keys.ARROW_DOWN) if "A100" in planned.accessible_name else (*jobs[1::-1], Keys.ARROW_UP)
    )
    planned.send_keys(Keys.ARROW_LEFT)
    assert before in tab.driver.switch_to.active_element.accessible_name  # on the same board
    tab.driver.switch_to.active_element.send_keys(key)
    assert other in tab.driver.switch_to.active_element.accessible_name
    tab.press("The timeline as a table")
    tab.shows("Energy")
    assert tab.count("#timeline-table tbody tr") == tab.count("#timeline [data-bar]")
    tab.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
    tab.driver.find_element("css selector", '#timeline [tabindex="0"]').send_keys(Keys.ENTER)
    tab.shows(f"{other}: running")


def test_the_page_of_jobs_finds_them_cancels_them_and_saves_what_they_kept(run, world, tmp_path):
    keeps, slow = tmp_path / "keeps.py", tmp_path / "slow.py"
    keeps.write_text("open('model.pt', 'w').write('weights')\nopen('gone.txt', 'w').write('x')\n")
    slow.write_text(SLOW)
    done = submitted(run, str(keeps), "--name", "page-done", "--label", "team=web", "--output", "*.pt")
    world.over(done)
    runs = submitted(run, str(slow), "--name", "page-slow")
    try:
        with browser(tmp_path / "profile") as tab:
            tab.open(page(world, "/jobs?name=page-*"))
            tab.shows("page-done")
            tab.shows("page-slow")
            names = [cell.text for cell in tab.driver.find_elements("css selector", "#jobs tbody td:nth-child(2)")]
            assert names == ["page-slow", "page-done"]  # the newest first, and no other
            tab.driver.find_element("css selector", "#search [name=label]").send_keys("team=web\n")
            world.until(lambda: "page-slow" not in tab.text)
            ends_an_array(world, tab)
            tab.open(page(world, "/jobs?name=page-slow"))
            tab.press("Cancel")
            tab.driver.switch_to.alert.accept()
            world.until(lambda: "cancelled" in tab.text)
            tab.driver.execute_cdp_cmd(
                "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
            )
            tab.open(page(world, f"/job?id={done}"), width_px=400)
            tab.shows("Not kept: gone.txt (1 in all).")
            tab.shows("What the prediction rests on")
            tab.press("model.pt")
            world.until(lambda: (tmp_path / "saved/model.pt").is_file())
            assert (tmp_path / "saved/model.pt").read_text() == "weights"
            submits_a_job(world, tab)
            assert tab.complaints() == []
    finally:
        run("cancel", runs)


def ends_an_array(world, tab):
    """An array is one row; its tasks are looked at by its id, and all that wait or run end by one button."""
    answer = world.call("POST", "/v1/arrays", json={"source": SLOW, "tasks": "0-2%1", "name": "page-sweep"})
    array = answer.json()["array_id"]
    tab.open(page(world, f"/jobs?array={array}"))
    world.until(lambda: tab.count("#jobs tbody tr") == 3)
    tab.open(page(world, "/jobs?name=page-sweep"))
    tab.shows("0-2 1 at once")
    assert (tab.count("#arrays tbody tr"), tab.count("#jobs tbody tr")) == (1, 0)
    tab.press("Cancel")
    tab.driver.switch_to.alert.accept()
    tab.shows("3 cancelled")


def submits_a_job(world, tab):
    """From the form, after asking what it would get."""
    tab.open(page(world, "/submit", "ada"), width_px=400)
    tab.shows("GPU types that it may use")
    for name, text in (
        ("source", "import sys\nprint(*sys.argv[1:])\n"),
        ("name", "page-sent"),
        ("arguments", "--a\n1"),
    ):
        tab.driver.find_element("name", name).send_keys(text)
    tab.press("What would it get?")
    tab.shows("left to the policy")
    tab.shows("held to A100")
    tab.press("Submit")
    tab.shows("Submitted: job-")
    (sent,) = world.get("/v1/jobs?name=page-sent")["jobs"]
    assert (sent["owner"], sent["arguments"]) == ("ada", ["--a", "1"])
    assert world.over(sent["job_id"])["state"] == "finished"


def test_the_page_shows_which_nodes_drain(run, world, tmp_path):
    node = world.get("/v1/cluster")["nodes"][0]["node"]
    with browser(tmp_path / "profile") as tab:
        run("drain", node, who="operator")
        tab.open(page(world))
        tab.shows(f"Draining, without new jobs: node {node[:12]} at")
        run("undrain", node, who="operator")
        world.until(lambda: "Draining" not in tab.text)
    assert all(entry["free"] == entry["total"] == 1 for entry in world.get("/v1/cluster")["types"])


def test_the_page_loads_nothing_from_elsewhere(world):
    for path in (
        "/",
        "/job",
        "/page/page.css",
        "/page/shared.js",
        "/jobs",
        "/page/cluster.js",
        "/page/job.js",
        "/page/jobs.js",
        "/page/timeline.js",
        "/page/power.js",
        "/page/coming.js",
        "/submit",
        "/page/submit.js",
    ):
        answer = world.call("GET", path, None)
        assert answer.status_code == 200, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r"(?:src|href|url|from|import|fetch)[\s(=\"']+(?:https?:)?//", answer.text), path
    assert world.call("GET", "/page/../app.py", None).status_code == 404
