"""The picture of a run: every attempt on boards of its own, and holds where a job waited beside room for it."""

import xml.etree.ElementTree as ElementTree

from hypothesis import given, settings

from kilowait.core.jobs import Job, Prediction
from kilowait.policies.patient import patient
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from kilowait.simulate.timeline import bars, holds, timeline
from tests.support.examples import examples
from tests.support.random_worlds import worlds

SVG = "{http://www.w3.org/2000/svg}"


def job(job_id, submit_s, on_a, on_b, gpus=1, **fields):
    truth = {t: Prediction(runtime_s=s, energy_kwh=e) for t, (s, e) in (("A", on_a), ("B", on_b))}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus, **fields), truth=truth, seen=truth)


def test_a_job_that_waits_for_a_greener_type_is_held_from_when_the_other_had_room():
    """`held` waits from 10 s for A, free at 100 s, beside the free B: 4 kWh more are worth 90 s."""
    jobs = [job("first", 0, (100, 1), (100, 9)), job("held", 10, (40, 1), (40, 5))]
    run = simulate(jobs, {"A": 1, "B": 1}, patient(wait_s_per_kwh=50, congestion=0))
    assert holds(run) == {("held", 1): 10}
    _, (first, held) = bars(run)
    assert (first.placement.job_id, first.held_s, first.rows) == ("first", None, held.rows)
    assert (held.held_s, held.placement.start_s) == (10, 100)


def test_a_job_that_waits_because_nothing_fits_is_not_held():
    jobs = [job("a", 0, (5, 1), (5, 1)), job("b", 0, (5, 1), (5, 1)), job("c", 1, (5, 1), (5, 1))]
    assert holds(simulate(jobs, {"A": 1, "B": 1}, simple())) == {}


@settings(max_examples=examples(60))
@given(worlds())
def test_no_board_has_two_jobs_at_a_time_and_every_attempt_has_its_gpus(world):
    inventory, jobs = world
    run = simulate(jobs, inventory, simple())
    rows, found = bars(run)
    assert len(rows) == sum(inventory.values())
    assert [len(bar.rows) for bar in found] == [bar.placement.gpus for bar in found]
    for n, bar in enumerate(found):
        for other in found[n + 1 :]:
            if set(bar.rows) & set(other.rows):
                assert other.placement.start_s >= bar.placement.end_s


def test_nodes_and_shares_have_the_rows_that_they_really_had():
    """Two shares of 400 fit on one board of the one-board node or of another; a gang of two is on one node."""
    shares = [job(f"s{n}", 0, (10, 1), (10, 1), gpu_milli=400, allowed=frozenset("A")) for n in range(2)]
    gang = job("gang", 0, (10, 1), (10, 1), gpus=2, one_node=True, allowed=frozenset("A"))
    run = simulate([*shares, gang], {"A": 3, "B": 1}, simple(), nodes={"A": (1, 2), "B": (1,)})
    _, found = bars(run)
    by_id = {bar.placement.job_id: bar.rows for bar in found}
    assert by_id["s0"] == by_id["s1"]
    assert len({node for _, node, _ in by_id["gang"]}) == 1
    assert not set(by_id["gang"]) & set(by_id["s0"])


def test_the_picture_is_an_svg_with_a_bar_a_board_and_names_that_are_escaped():
    run = simulate([job("<b>", 0, (5, 1), (5, 2), gpus=2)], {"A": 2, "B": 2}, simple())
    root = ElementTree.fromstring(timeline(run, "jobs & policies"))
    runs = [one for one in root.iter(f"{SVG}rect") if one.get("class") == "run"]
    assert len(runs) == 2
    assert runs[0].find(f"{SVG}title").text == "<b>: submitted 0 s, ran 0 to 5 s on 2 A, 1 kWh"
    assert "jobs & policies" in root.find(f"{SVG}text").text
