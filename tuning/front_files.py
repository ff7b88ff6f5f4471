"""The Pareto front of tuning.kappa as files: front.parquet (a table of `columns.KAPPA_FRONT`) and front.svg."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.files import columns, parquet
from kilowait.files.atomic import write_text
from kilowait.lab.backtest.front import Pick, pareto_front
from kilowait.lab.backtest.objective import KappaTrial
from kilowait.report.figures import Panel, front_figure


def write_front(
    out: Path,
    trials: Mapping[str, Sequence[KappaTrial]],
    picks: Mapping[str, Mapping[str, Pick]],
    samples: int,
    predictions: str,
) -> None:
    """Write both files to `out`; trials and picks are by table of job classes, the picks then by name of the rule."""
    common = {"samples": samples, "predictions": predictions, "provenance": Provenance.MODELLED}
    fronts = {classes: pareto_front(class_trials) for classes, class_trials in trials.items()}
    rows = [asdict(trial) | common | {"classes": classes} for classes, front in fronts.items() for trial in front]
    parquet.write_table(parquet.table(rows, columns.KAPPA_FRONT), out / "front.parquet")
    panels = {
        f"Value on {classes} jobs: {len(front)} of {len(trials[classes])} kappas on the front": panel(
            trials[classes], front, picks[classes], samples
        )
        for classes, front in fronts.items()
    }
    note = f"{Provenance.MODELLED}: means over {samples} validation samples, predictions {predictions}"
    write_text(out / "front.svg", front_figure(panels, note))


def panel(tried: Sequence[KappaTrial], front: Sequence[KappaTrial], picks: Mapping[str, Pick], samples: int) -> Panel:
    """The points of one table of job classes, in hours of waiting and kWh a sample."""

    def point(trial: KappaTrial) -> tuple[float, float]:
        return trial.total_wait_s / HOUR_S / samples, trial.energy_kwh / samples

    points_by_name = {f"{name}: kappa {pick.trial.kappa:g}": point(pick.trial) for name, pick in picks.items()}
    return [point(trial) for trial in tried], [point(trial) for trial in front], points_by_name
