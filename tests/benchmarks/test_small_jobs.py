"""The benchmark of small programs: what their first lines state, and what an answer is worth beside it."""

import pytest

from benchmarks import small_jobs
from benchmarks.asked_predictions import Answer
from benchmarks.program_kinds import OTHER_FRAMEWORK, PYTORCH
from benchmarks.small_jobs import DOUBTED, RIGHT, WRONG, Stated, stated, verdict


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("Right: 20 steps; 20*2*2*512*512*32 = 671 MFLOP", {"steps": 20, "flops": (671e6, 671e6)}),
        ("2 epochs. Right: 2 * 32, 4 accumulated = 16 steps: = 2.15 GFLOP", {"steps": 16, "flops": (2.15e9,) * 2}),
        ("Right: 2,000 steps (2000*33.6 MFLOP = 67 GFLOP). More words", {"steps": 2000, "flops": (67e9, 67e9)}),
        ("ours#12: seen. Right: 4*12*64*64*64 = 12,582,912 FLOPs", {"flops": (12582912, 12582912)}),
        ("Right: 3*2*100*100 = 60,000", {"flops": (60000, 60000)}),
        ("Right: 2 of 4 = 8 each: 16 (+ 0 or 32,768 for the rest)", {"flops": (16, 16)}),
        ("Right: 1 step; 1.5 to 2.5 GFLOP", {"steps": 1, "flops": (1.5e9, 2.5e9)}),
        ("Right: 4*2 = 800 (half of it where skipping is counted)", {"flops": (400, 800)}),
        ("Right: 4 weights = 1,073.7 MB (+ 4 MB)", {"memory_bytes": 1073.7e6}),
        ("Right: with N=30 it is 3; N_UP=30 in the job's environment: 300 steps",
         {"steps": 300, "environment": ("N_UP=30",)}),
        ("Right: 15 optimizer steps: at most 300*2 = 10 GFLOP", {"steps": 15, "flops": (0, 10e9), "doubt": True}),
        ("Right: depends; a stated assumption would do. 100 steps", {"steps": 100, "doubt": True}),
        ("Right: this takes 1 GPU; 20 steps", {"steps": 20, "gpus": 1}),
        ("Right: 1001 steps: 1001*2*3 + 2 more", {"steps": 1001, "flops": (6006, 6006)}),
        ("predict folder/ with the entrypoint sub/go.py, which imports. Right: 20 steps",
         {"steps": 20, "start": ("folder", "sub/go.py")}),
    ],
)  # fmt: skip
def test_what_the_first_lines_state(comment, expected):
    found = stated(f"# {comment}\nimport torch\n# Right: 9 steps\n")
    assert found == Stated(
        **{**expected, **({"flops": pytest.approx(expected["flops"])} if "flops" in expected else {})}
    )


def test_a_docstring_and_a_second_line_of_the_comment_are_read_past():
    assert stated('"""\nUse 8.\n"""\n# Words.\n# Right: 7 steps\nx = 1\n').steps == 7


def answer(**given):
    return Answer(**{"state": "whole", "timed": True, "steps": 100, "flops": 1e9, **given})


@pytest.mark.parametrize(
    ("said", "given", "expected"),
    [
        ({"steps": 100, "flops": (1e9, 1e9)}, {}, RIGHT),
        ({"steps": 98}, {}, WRONG),
        ({"flops": (1.1e9, 1.1e9)}, {}, RIGHT),
        ({"flops": (1.2e9, 1.2e9)}, {}, WRONG),
        ({"flops": (1e5, 1e5)}, {"flops": 1.19e5}, RIGHT),
        ({"flops": (1e5, 1e5)}, {"flops": 1.21e5}, WRONG),
        ({"flops": (0.0, 1e9)}, {"flops": 5.0}, RIGHT),
        ({"memory_bytes": 1e9}, {"peak_memory_bytes": 1.2e9}, WRONG),
        ({"gpus": 1}, {"gpus": 16}, WRONG),
        ({"steps": 100, "doubt": True}, {}, WRONG),
        ({"steps": 100, "doubt": True}, {"assumed": ("assumed",)}, RIGHT),
        ({"steps": 100, "doubt": True}, {"state": "guessed"}, RIGHT),
        ({"steps": 100}, {"state": "partial", "steps": 1}, DOUBTED),
        ({"steps": 100}, {"state": "partial"}, RIGHT),
        ({"steps": 100}, {"state": "guessed", "steps": 1}, WRONG),
        ({}, {"state": "failed"}, DOUBTED),
    ],
)
def test_what_an_answer_is_worth(said, given, expected):
    assert verdict(Stated(**said), answer(**given), PYTORCH) == expected


def test_another_framework_wants_its_line():
    said = Answer(state="failed", text="is a JAX program; kilowait reads PyTorch")
    assert verdict(Stated(steps=3), said, OTHER_FRAMEWORK) == RIGHT
    assert verdict(Stated(steps=3), Answer(state="failed", text="no jax"), OTHER_FRAMEWORK) == WRONG


def test_the_command_asks_with_the_environment_and_prints_a_line_a_program(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.py").write_text("# Right: UP_TO=3 in the job's environment: 100 steps\n")
    asked = []
    monkeypatch.setattr(small_jobs, "ask", lambda *given: asked.append(given) or answer())
    assert small_jobs.main(["--programs", str(tmp_path), "--json", str(tmp_path / "o.json")]) == 0
    assert asked[0][0] == tmp_path / "a.py"
    assert asked[0][4] == ["--env", "UP_TO=3"]
    assert capsys.readouterr().out.splitlines()[-1] == "1 right, 0 doubted, 0 wrong"
    assert small_jobs.main(["--programs", str(tmp_path), "--only", "b"]) == 2
    assert "no such program" in capsys.readouterr().err
