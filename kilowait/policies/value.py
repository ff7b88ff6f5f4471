"""Value: the most valuable pair of job and type first, wherever it fits."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ranking import Key
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.compiled_form import CompiledForm, with_form
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Criterion, Rule

KERNEL = "by_key"
"""The compiled kernel that can run it."""

DEFAULT_KAPPA = 1e-5
"""A kWh saved is worth as much as finishing a job of 28 GPU-hours: 1e-5 = 1 / (28 * 3600).

It lies between what the paper's three criteria choose on its scenario; tuning.kappa finds what a site's jobs want.
"""

KeyOf = Callable[[Cluster], Key]
"""The ranking key of a cluster as it is now: the same function object for as long as the order is the same."""


def value(*, kappa: float | None = None, kappa_relative: float | None = None) -> Policy:
    """A policy that places, best first, every pair (job i, type j) that fits, by the value

    v_ij = 1 / (a_ij * t_ij) - kappa * e_ij                         with `kappa`, per kWh, or
    v_ij = s / (a_ij * t_ij) - kappa_relative * e_ij / E            with `kappa_relative`, a plain number,

    with a in GPUs (0.3 for a job with 300 thousandths of one), t in seconds and e in kWh. s and E are the geometric
    means of a_ij * t_ij (GPU-seconds) and of e_ij (kWh, those above 0) over the (job, type) pairs submitted so far that
    could ever run: exp of the mean of the logarithms. So `kappa_relative` means the same at every site: multiplying all
    times by c and all energies by d changes no placement. Dividing by s shows it to be a kappa of kappa_relative / (s *
    E) per kWh.

    All waiting jobs are compared with one scale. It stands until s * E has moved by more than a factor of
    `scale.TOLERANCE`, and is then renewed for all of them, which sorts the queue once; the means settle as jobs come
    in, so that happens ever more rarely. (Freezing the scale of its submission into each job's key would cost no
    sorting, but would let the later of two equal jobs pass the earlier.) The cluster keeps the scale and only
    submissions move it, so a replayed log leads to the same decisions. The first jobs of an empty cluster are
    compared with a scale of their own.

    Negative values are placed too. Ties go to the earlier in the queue, then to the more powerful type. Raises
    InputError unless exactly one of the two is given, finite and >= 0. Sources: the paper's Value; the relative form
    is ours.
    """
    key_of = value_key(kappa=kappa, kappa_relative=kappa_relative)

    def value(cluster: Cluster) -> list[Decision]:
        decisions: dict[str, Decision] = {}
        place_what_fits(cluster, key_of(cluster), cluster.room(), decisions)
        return list(decisions.values())

    if kappa is None:
        assert kappa_relative is not None  # `value_key` has seen to that
        return with_form(value, CompiledForm(name="value_relative", kernel=KERNEL, kappa=kappa_relative))
    return with_form(value, CompiledForm(name="value", kernel=KERNEL, kappa=kappa))


def value_key(*, kappa: float | None, kappa_relative: float | None) -> KeyOf:
    """The key -v_ij of either form of `value`; raises InputError unless exactly one is given, finite and >= 0."""
    if kappa_relative is None:
        if kappa is None:
            raise InputError("Value needs kappa (per kWh) or kappa_relative, got neither")
        cost = negative_value(kappa)
        return lambda cluster: cost
    if kappa is not None:
        raise InputError(f"give kappa or kappa_relative, not both: got {kappa!r} and {kappa_relative!r}")
    weight = checked_weight("kappa_relative", kappa_relative)

    @lru_cache(maxsize=1)  # a cluster keeps a ranking for as long as its key lives
    def at(gpu_s: float, energy_kwh: float) -> Key:
        return negative_relative_value(weight, gpu_s, energy_kwh)

    return lambda cluster: at(cluster.scale.gpu_s, cluster.scale.energy_kwh)


def negative_value(kappa: float) -> Key:
    """A ranking key, -v_ij, that puts the most valuable pair first; raises InputError for a bad kappa."""
    kappa = checked_weight("kappa", kappa)

    def cost(job: Job, gpu_type: str, prediction: Prediction) -> float:
        return -(1 / (job.amount_on(gpu_type) * prediction.runtime_s) - kappa * prediction.energy_kwh)

    return cost


def negative_relative_value(kappa_relative: float, gpu_s: float, energy_kwh: float) -> Key:
    """A ranking key, -v_ij at the scale s = `gpu_s`, E = `energy_kwh`; while E is 0 no pair is known to use energy."""

    def cost(job: Job, gpu_type: str, prediction: Prediction) -> float:
        energy = prediction.energy_kwh / energy_kwh if energy_kwh else 0.0
        return -(gpu_s / (job.amount_on(gpu_type) * prediction.runtime_s) - kappa_relative * energy)

    return cost


def place_what_fits(cluster: Cluster, key: Key, room: Room, placed: dict[str, Decision]) -> None:
    """Place pairs in the order of `key` while they fit, except jobs `placed` before; changes `room` and `placed`."""
    for job_id, gpu_type in cluster.ranked(key).fitting(room):
        if job_id not in placed:
            room.take(cluster.waiting[job_id], gpu_type)
            placed[job_id] = Place(job_id=job_id, gpu_type=gpu_type)


def value_criterion(options: Mapping[str, Any], cluster: Cluster) -> Criterion:
    """What `value` and `value_aging` rate a pair by: v_ij, on the cluster's scale as it is now in the relative form."""
    kappa, relative = options.get("kappa"), options.get("kappa_relative")
    key = value_key(kappa=kappa, kappa_relative=relative)(cluster)
    name = f"value = 1 / (GPUs x seconds) - {kappa:g} x kWh" if relative is None else _relative_name(relative)
    return Criterion(name=name, larger_first=True, of=lambda *pair: -key(*pair))


def _relative_name(relative: float) -> str:
    return f"value = s / (GPUs x seconds) - {relative:g} x kWh / E"


KAPPA = Parameter(
    name="kappa",
    sentence="worth of a kWh, against 1 / (GPUs x seconds)",
    unit="1 / (GPU s kWh)",
    default=DEFAULT_KAPPA,
    metavar="K",
)
KAPPA_RELATIVE = Parameter(
    name="kappa_relative",
    sentence="instead of --kappa, a plain number such as 1: rates by s / (GPUs x seconds) - X x kWh / E, where s and E "
    "are the geometric means over the jobs submitted so far, so it means the same at every site",
    instead_of="kappa",
)

RULE = Rule(
    name="value",
    sentence="over the whole queue, the most valuable pair of job and type first, whatever fits",
    detail="value: 1 / (GPUs x seconds) - kappa x kWh",
    make=value,
    parameters=(KAPPA, KAPPA_RELATIVE),
    criterion=value_criterion,
    kernel=KERNEL,
    place=30,
)
