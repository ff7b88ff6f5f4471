"""pipelines.embed: refusals by name, one vector a content, and a kill -9 that costs no finished work."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.embed_resume import kill_and_resume
from kilowait.lab.evaluate.shards import PREFIX, find_files, plan
from kilowait.program.source import source_from_bytes
from pipelines.embed import embed
from tests.support.tiny_model import CONTEXT, write_tiny_model

pytestmark = [
    # Ray leaves pipes and log files to the garbage collector, and warns about its own future defaults.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "deep").mkdir(parents=True)
    for at in range(5):
        (folder / f"job_{at}.py").write_text(f"print({at})\n" * (at + 1))
    (folder / "deep" / "twin.py").write_text("print(0)\n")
    (folder / "empty.py").write_text(" \n")
    (folder / "image.py").write_bytes(b"\x89PNG\0")
    (folder / "latin.py").write_bytes("# é\n".encode("latin-1"))
    (folder / "long.py").write_text("x = 1\n" * 500)
    (folder / "notes.txt").write_text("not asked for\n")
    return folder


def run(capsys: pytest.CaptureFixture[str], *options: object) -> tuple[dict, str]:
    assert (
        embed.main([str(o) for o in (*options, "--json", "--dtype", "float32", "--max-bytes", 1000, "--actors", 1)])
        == 0
    )
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def rows(out: Path) -> list[dict]:
    return [row for path in sorted(out.glob(f"{PREFIX}*")) for row in pq.read_table(path).to_pylist()]


def states(out: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.glob(f"{PREFIX}*")}


@pytest.mark.usefixtures("one_ray")
class TestOneRun:
    def test_counts_refusals_and_twins_and_resumes(self, corpus, model, tmp_path, capsys):
        out = tmp_path / "out"
        common = ("--corpus", corpus, "--out", out, "--model", model, "--layer", 2, "--pooling", "mean")
        summary, err = run(capsys, *common, "--shard-size", 2)
        counts = {k: summary[k] for k in ("files", "unique", "embedded", "skipped", "refused", "shards")}
        assert counts == {"files": 10, "unique": 5, "embedded": 5, "skipped": 0, "refused": 4, "shards": 3}
        assert summary["tokens"] == sum(9 * (at + 1) for at in range(5))
        refused = json.loads((out / "refused.json").read_text())
        assert refused["count"] == 4
        named = {Path(r["path"]).name: r["reason"] for r in refused["refused"]}
        assert "empty" in named["empty.py"]
        assert "binary" in named["image.py"]
        assert "not UTF-8 at byte 2" in named["latin.py"]
        assert "3,000 bytes" in named["long.py"]
        assert all(name in err for name in named)
        assert len({row["content_hash"] for row in rows(out)}) == len(rows(out)) == 5
        assert all(len(row["vector"]) == 32 for row in rows(out))

        self.resume(corpus, out, common, capsys)

    def resume(self, corpus, out, common, capsys):
        """A second run adds only what is new, whatever its shard size and features."""
        before = states(out)
        common = (*common, "--shard-size", 3)
        again, _ = run(capsys, *common)
        assert (again["embedded"], again["skipped"], again["shards"]) == (0, 5, 0)
        assert states(out) == before
        (corpus / "new.py").write_text("print('new')\n")
        more, _ = run(capsys, *common, "--pooling", "mean,last")
        assert (more["embedded"], more["skipped"]) == (6, 0)
        assert {name: state for name, state in states(out).items() if name in before} == before
        pairs = [(row["content_hash"], row["features"]) for row in rows(out)]
        assert len(pairs) == len(set(pairs)) == 12

    def test_windows_are_recorded_and_another_window_size_is_refused(self, model, tmp_path, capsys):
        (tmp_path / "long.py").write_text("x = 1\n" * 100)
        common = ("--corpus", tmp_path / "long.py", "--out", tmp_path / "out", "--model", model, "--layer", 1)
        common = (*common, "--pooling", "mean")
        run(capsys, *common, "--window", 60)
        assert [(row["tokens"], row["windows"]) for row in rows(tmp_path / "out")] == [(600, 10)]
        assert embed.main([str(o) for o in (*common, "--window", 100)]) == 2
        assert "written with --window 60, this run has 100" in capsys.readouterr().err

    def test_more_actors_than_the_cluster_has_room_for_are_refused(self, corpus, model, tmp_path, capsys):
        options = ("--corpus", corpus, "--out", tmp_path / "out", "--model", model, "--layer", 1, "--actors", 3)
        assert embed.main([str(o) for o in options]) == 2
        assert "2 CPUs and 0 GPUs, room for 2" in capsys.readouterr().err


class TestRefusedRuns:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--corpus", "absent"], "absent: no such file or folder"),
            (["--corpus", "corpus/empty.py"], "all 1 files are refused"),
            (["--corpus", "corpus", "--glob", "*.cu"], "no file matches *.cu"),
            (["--corpus", "corpus", "--layer", "9"], "--layer 9"),
            (["--corpus", "corpus", "--layer", "two"], "--layer must be numbers"),
            (["--corpus", "corpus", "--layer", "1", "--pooling", "max"], "pooling must be one of"),
            (["--corpus", "corpus", "--shard-size", "0"], "--shard-size must be >= 1"),
            (["--corpus", "corpus", "--layer", "1", "--window", str(CONTEXT + 1)], "window must be 1 to"),
        ],
    )
    def test_says_why_and_exits_with_2(self, options, message, corpus, model, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert embed.main([*options, "--out", "out", "--model", str(model)]) == 2
        assert message in capsys.readouterr().err

    def test_a_path_given_twice_is_one_file(self, corpus):
        assert len(find_files([str(corpus / "job_0.py"), str(corpus)], "*.py")) == 10


class TestPlan:
    @given(
        st.lists(st.text("abc ", min_size=1, max_size=30).filter(str.strip), max_size=20, unique=True),
        st.sets(st.tuples(st.integers(0, 19), st.sampled_from(["k1", "k2"]))),
        st.integers(1, 6),
    )
    def test_holds_exactly_what_is_not_done(self, texts, done_at, size):
        sources = [source_from_bytes("s.py", text.encode()) for text in texts]
        done = {(sources[at].content_hash, key) for at, key in done_at if at < len(sources)}
        shards = plan({s.content_hash: s for s in sources}, ["k1", "k2"], done, size)
        pairs = [(s.content_hash, key) for shard in shards for s in shard.sources for key in shard.keys]
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == {(s.content_hash, key) for s in sources for key in ("k1", "k2")} - done
        assert all(1 <= len(shard.sources) <= size for shard in shards)
        assert len({shard.name for shard in shards}) == len(shards)


def test_kill_minus_nine_half_way_costs_no_finished_work(model, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for at in range(30):
        (corpus / f"job_{at:02d}.py").write_text(f"x = {at}\n" + "y = x + 1\n" * 200)
    (corpus / "twin.py").write_bytes((corpus / "job_00.py").read_bytes())
    options = ["--model", str(model), "--layer", "4", "--pooling", "mean,last", "--shard-size", "2"]
    outcome = kill_and_resume(corpus, tmp_path / "out", [*options, "--actors", "1"], kill_at=0.3)
    assert outcome.unique == 30
    assert 9 <= outcome.embedded_before_kill < 30
    assert outcome.embedded_before_kill + outcome.embedded_after == 30
    assert outcome.skipped_after == outcome.embedded_before_kill
    assert (outcome.recomputed, outcome.shards_changed, outcome.missing) == (0, 0, 0)
    assert outcome.processes_left == 0
    written = rows(tmp_path / "out")
    assert len({(row["content_hash"], row["features"]) for row in written}) == len(written) == 60
