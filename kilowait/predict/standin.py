"""A first guess for GPU types where a program has no usable dry run, so that its job can run: weak, and marked as such.

The probe's own prediction (for its last device type) counts as that on the reference type; another type takes
(power_score(reference) / power_score(type)) ^ EXPONENT times as long, and draws IDLE + LOAD of the way from its idle to
its peak power. Nobody measured either for the job at hand: only the order of types is worth anything. Every such
prediction has "+standin" in its features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES, canonical
from kilowait.core.jobs import Prediction, Provenance
from kilowait.core.units import JOULES_PER_KWH

REFERENCE_TYPE = "A100"
EXPONENT = 0.6
"""Between 0, where the board makes no difference, and 1, where all the time is spent on what the score measures."""

LOAD = 0.6
"""Share of the way from idle to peak power that a busy board is taken to draw."""

MARK = "+standin"


UNREAD = "unread"
"""What stands for the features in a prediction of a program that no model has read."""

UNREAD_RUNTIME_S = 3600.0
"""The run time on the reference type of a program of which nothing is known: assumed."""

_UNREAD = Prediction(runtime_s=UNREAD_RUNTIME_S, energy_kwh=0.0, probe_version=UNREAD, features=UNREAD)


def unread(gpu_types: Iterable[str], gpus: float = 1.0) -> dict[str, Prediction]:
    """Stand-ins on `gpus` boards for a program that no model has read: only the order of types is worth anything."""
    return {name: _stand_in(_UNREAD, name, gpus) for name in gpu_types if _known(name)}


def as_asked(runtime_s: float, gpu_types: Iterable[str], gpus: float = 1.0) -> dict[str, Prediction]:
    """What is expected of a job on `gpus` boards that is to last so many seconds, whatever it does: a shell.

    Its features say `Provenance.ASKED`: nobody predicted its time, and its energy is a stand-in.
    """
    return {
        name: Prediction(
            runtime_s=runtime_s,
            energy_kwh=_watts(name, gpus) * runtime_s / JOULES_PER_KWH,
            probe_version=Provenance.ASKED.value,
            features=Provenance.ASKED.value,
        )
        for name in gpu_types
        if _known(name)
    }


def is_unread(predictions: Mapping[str, Prediction]) -> bool:
    """Whether these are what `unread` gives: a guess, whose place a prediction may take."""
    return bool(predictions) and all(one.features == UNREAD + MARK for one in predictions.values())


def on_types(
    predictions: Mapping[str, Prediction], gpu_types: Iterable[str], gpus: float = 1.0
) -> dict[str, Prediction]:
    """`predictions`, and a stand-in on `gpus` boards for each of `gpu_types` that they lack and the catalogue knows."""
    all_predictions = dict(predictions)
    for gpu_type in gpu_types:
        if gpu_type not in all_predictions and predictions and _known(gpu_type):
            all_predictions[gpu_type] = _stand_in(list(predictions.values())[-1], gpu_type, gpus)
    return all_predictions


def _stand_in(prediction: Prediction, gpu_type: str, gpus: float) -> Prediction:
    board, reference = GPU_TYPES[canonical(gpu_type)], GPU_TYPES[REFERENCE_TYPE]
    runtime_s = prediction.runtime_s * (reference.power_score / board.power_score) ** EXPONENT
    return replace(
        prediction,
        runtime_s=runtime_s,
        energy_kwh=_watts(gpu_type, gpus) * runtime_s / JOULES_PER_KWH,
        runtime_low_s=None,
        runtime_high_s=None,
        energy_low_kwh=None,
        energy_high_kwh=None,
        features=prediction.features + MARK,
        other={},
        limits=(),
    )


def _watts(gpu_type: str, gpus: float) -> float:
    board = GPU_TYPES[canonical(gpu_type)]
    return gpus * (board.assumed_idle_w + LOAD * (board.peak_w - board.assumed_idle_w))


def _known(gpu_type: str) -> bool:
    try:
        canonical(gpu_type)
    except InputError:
        return False
    return True
