"""When two runs agree, what a label is, and the journal that keeps every run."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.files.columns import LABELS, RUNS
from kilowait.lab.label.agreement import AgreementRule, Standing, closest_pair, standing
from kilowait.lab.label.campaign import label_rows
from kilowait.lab.label.campaign_summary import summarise
from kilowait.lab.label.journal import Journal
from kilowait.measure.measured_run import MeasuredRun
from tests.support.pretended_runs import run_of, runs_of, script_of


@pytest.mark.parametrize(
    ("runtimes", "expected"),
    [
        ([], Standing.OPEN),
        ([1.0], Standing.OPEN),
        ([19.0, 21.0], Standing.ACCEPTED),  # 2 / 20 is the tolerance itself
        ([19.0, 21.1], Standing.OPEN),
        ([1.0, 2.0, 1.05], Standing.ACCEPTED),  # the first and the third
        ([1, 2, 4, 8], Standing.OPEN),
        ([1, 2, 4, 8, 16], Standing.FLAGGED),
        ([None], Standing.OPEN),
        ([None, None], Standing.FAILED),
        ([None, 1.0, 1.0], Standing.ACCEPTED),
        ([1.0, None, None], Standing.FAILED),
        ([1.0, 2.0, None, None], Standing.FLAGGED),
    ],
)
def test_when_runs_agree(runtimes, expected):
    assert standing(runs_of(*runtimes), AgreementRule()) is expected


def test_the_closest_of_all_pairs_is_taken_not_the_first_within_the_tolerance():
    runs = runs_of(10.0, 10.8, 12.0, 10.7)
    a, b, apart = closest_pair(runs)
    assert (a.runtime_s, b.runtime_s) == (10.8, 10.7)
    assert apart == pytest.approx(0.1 / 10.75)


@given(st.lists(st.floats(0.01, 100), max_size=5), st.floats(0.01, 100))
def test_a_further_run_never_undoes_an_acceptance(runtimes, another):
    if standing(runs_of(*runtimes), AgreementRule()) is Standing.ACCEPTED:
        assert standing(runs_of(*runtimes, another), AgreementRule()) is Standing.ACCEPTED


@pytest.mark.parametrize(("options", "value"), [({"tolerance": 0}, "0"), ({"max_runs": 1}, "1")])
def test_a_rule_that_makes_no_pair_is_refused(options, value):
    with pytest.raises(InputError, match=f"got {value}"):
        AgreementRule(**options)


def test_a_label_is_the_mean_of_the_accepted_pair_and_a_failed_script_has_none():
    runs = {
        ("good", "cpu-1"): [run_of(1.0, energy_j=10), run_of(9.0, energy_j=99), run_of(1.04, energy_j=12)],
        ("apart", "cpu-1"): [run_of(t) for t in (1, 2, 4, 8, 16)],
        ("bad", "cpu-1"): runs_of(None, None),
        ("elsewhere", "cpu-1"): runs_of(1.0, 1.0),
    }
    rows = label_rows([script_of("bad"), script_of("apart"), script_of("good")], runs, AgreementRule())
    assert [row["content_hash"] for row in rows] == ["apart", "good"]
    flagged, good = rows
    assert (good["runtime_s"], good["energy_j"], good["runs"], good["flagged"]) == (1.02, 11, 3, False)
    assert good["spread"] == pytest.approx(0.04 / 1.02)
    assert (flagged["flagged"], flagged["runtime_s"]) == (True, 1.5)  # every neighbour is 2/3 apart: the earliest
    assert set(rows[0]) == set(LABELS.names)


def test_the_summary_counts_first_pairs_apart_from_those_that_needed_repeats():
    runs = {
        ("a", "cpu-1"): runs_of(1.0, 1.0),
        ("b", "cpu-1"): runs_of(3.0, 9.0, 3.0),
        ("c", "cpu-1"): runs_of(1, 2, 4, 8, 16),
        ("d", "cpu-1"): runs_of(None, None),
    }
    figures = summarise(runs, AgreementRule())["cpu-1"]
    counts = [figures[name] for name in ("scripts", "runs", "accepted", "flagged", "failed", "open")]
    assert counts == [4, 12, 2, 1, 1, 0]
    assert figures["first_pairs_within_tolerance"] == pytest.approx(1 / 3)
    assert figures["pairs_within_tolerance"] == pytest.approx(2 / 3)
    assert (figures["p50_s"], figures["mean_s"]) == (1.5, pytest.approx(5.5 / 3))  # labels 1, 1.5 and 3


def test_a_run_has_exactly_the_columns_of_the_table():
    assert [f.name for f in fields(MeasuredRun)] == RUNS.names


# --- the journal


def test_a_journal_returns_what_was_added_and_cuts_a_torn_last_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add(run_of(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"content_hash": "h", "pa')
    with Journal(path) as journal:
        assert journal.of("h", "cpu-1") == (run_of(1.0),)
        journal.add(run_of(2.0, attempt=2))
    with Journal(path) as journal:
        assert journal.runs() == (run_of(1.0), run_of(2.0, attempt=2))


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(run_of(1.0).to_json() + "\nnonsense\n" + run_of(2.0).to_json() + "\n")
    with pytest.raises(InputError, match="line 2"):
        Journal(path)


def test_two_campaigns_do_not_share_a_journal(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(InputError, match="another campaign"):
        Journal(tmp_path / "j")
