"""Why a job is held, in a sentence: what for, what that saves, when it would start elsewhere."""

from kilowait.live.mirror import TypeOption
from kilowait.simulate.outlook import Expected
from serve.desk.why import held


def option(gpu_type, *, free, runtime_s, energy_kwh):
    return TypeOption(
        gpu_type=gpu_type, gpus=1, free=free, total=4, runtime_s=runtime_s, energy_kwh=energy_kwh, rating=None, ahead=0
    )


def expected(start_s, runtime_s, energy_kwh):
    return Expected(
        gpu_type="A100", gpus=1, start_s=start_s, start_low_s=None, start_high_s=None, end_s=start_s + runtime_s,
        energy_kwh=energy_kwh,
    )  # fmt: skip


A100, A6000 = (
    option("A100", free=0, runtime_s=3600, energy_kwh=0.6),
    option("A6000", free=2, runtime_s=5400, energy_kwh=1.0),
)


def test_a_held_job_says_what_it_waits_for_and_what_that_saves():
    """At 100 s: the A100 in 20 min, so an end at 80 min; the A6000 now, so an end at 90 min."""
    assert held([A100, A6000], expected(1300.0, 3600, 0.6), 100.0) == (
        "it is held for A100, expected in 20 min: that saves 0.4 kWh (40%) against A6000, where it fits now and would "
        "end 10 min later"
    )
    assert "would end 30 min sooner" in held([A100, A6000], expected(3700.0, 3600, 0.6), 100.0)


def test_a_job_is_not_held_where_nothing_else_is_free_or_nothing_is_saved():
    full = option("A6000", free=0, runtime_s=5400, energy_kwh=1.0)
    dear = option("A6000", free=1, runtime_s=5400, energy_kwh=0.5)
    assert held([A100, full], expected(1300.0, 3600, 0.6), 100.0) is None
    assert held([A100, dear], expected(1300.0, 3600, 0.6), 100.0) is None
    assert held([A100, A6000], expected(100.0, 3600, 0.6), 100.0) is None
    assert held([A100, A6000], None, 100.0) is None
