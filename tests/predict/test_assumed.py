"""What a dry run assumed widens the interval of its run time: once a kind, and a default once in all."""

import math

import pytest

from kilowait.predict.assumed import is_covered, widened
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.operations import OperationsModel, of_bundle


def dry_run(completeness: Completeness = Completeness.WHOLE, *how: str) -> DryRun:
    lines = tuple(f"{number}: {kind}" for number, kind in enumerate(how))
    return DryRun(
        content_hash="1", target="cuda", completeness=completeness, steps=1.0, assumptions=lines, assumed_how=how
    )


@pytest.mark.parametrize(("how", "factor"), [("given", 1.05), ("catalogue", 1.1), ("modelled", 1.5), ("default", 4.0)])
def test_a_kind_adds_its_own_error(how: str, factor: float) -> None:
    low_s, high_s = widened(dry_run(Completeness.WHOLE, how, how), 100.0, 50.0, 200.0)
    half_width = math.sqrt(math.log(2) ** 2 + math.log(factor) ** 2)
    assert (low_s, high_s) == pytest.approx((100 / math.exp(half_width), 100 * math.exp(half_width)))


def test_what_was_not_checked_widens_more_than_what_was() -> None:
    checked, unchecked = (widened(dry_run(Completeness.WHOLE, how), 100, 50, 200) for how in ("catalogue", "modelled"))
    assert unchecked[0] < checked[0]
    assert unchecked[1] > checked[1]


def test_a_default_counts_once() -> None:
    """Its run is guessed: the factor for a run that is not whole does not come on top of the default's."""
    model = OperationsModel.load(of_bundle(None) or "")
    device = sorted(model.measured)[0]

    def ends(run: DryRun) -> tuple[float, float]:
        found = model.around(run, device, 100.0, 0.1)
        return found.low_s, found.high_s

    guessed = ends(dry_run(Completeness.GUESSED, "default"))
    assert guessed == pytest.approx(ends(dry_run(Completeness.WHOLE, "default")))
    assert ends(dry_run(Completeness.PARTIAL, "default"))[1] > guessed[1]
    assert ends(dry_run(Completeness.GUESSED, "catalogue"))[1] > ends(dry_run(Completeness.WHOLE, "catalogue"))[1]


@pytest.mark.parametrize(
    ("completeness", "how", "covered"),
    [
        (Completeness.WHOLE, (), True),
        (Completeness.GUESSED, ("default",), True),
        (Completeness.GUESSED, ("catalogue",), False),
        (Completeness.PARTIAL, ("default",), False),
    ],
)
def test_a_guess_for_a_default_is_covered_by_it(
    completeness: Completeness, how: tuple[str, ...], covered: bool
) -> None:
    assert is_covered(dry_run(completeness, *how)) is covered
