"""What was learned of efficiencies, ready to predict: arrays and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError, ModelError
from kilowait.core.jobs import Provenance
from kilowait.predict.device_model.efficiency import (
    Marks,
    Terms,
    device_terms,
    host_terms,
    most_device,
    most_host,
    over_devices,
    program_terms,
)
from kilowait.predict.device_model.learned_weights import EfficiencyWeights, MeasuredTimes, applied
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import SCALES
from kilowait.predict.device_model.workload import Baseline, Workload, WorkloadTotals, totals
from kilowait.predict.dryrun.record import DryRun

NEW_DEVICE, NEW_HOST = 0.5, 0.8
"""Of a new type's `sigma`, shared by its programs: doubt of its device, by how unlike any measured type its sheet is,
and of how fast its host launches (logarithms).

No sheet tells the host: of the ten types of KernelBench's timings a launch takes 7 us on H100's, 17 on the newer
B200's and 12 to 22 on the others' (modelled). Wider than `Terms.machine`, which one such host in ten exceeds. Both were
chosen on those ten, by the interval score (Gneiting and Raftery 2007, section 6.2).
"""
PLAIN_DOUBT = (0.6, 1.0, NEW_DEVICE**2, NEW_HOST**2)
"""Of a model whose doubt was not fitted."""
KNOWN_HOST = 0.02
"""What is left of the doubt of a host on a board that was measured in the same hands."""
BLOCK = 1024


class _Read(NamedTuple):
    """Of U works: log efficiencies on device and host (U, D), and the variance no measured work explains (U,)."""

    device: FloatArray
    host: FloatArray
    unlike_device: FloatArray
    unlike_host: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """log seconds (P, D), and `sigma` (P, D): the standard deviation that the model expects of its error in them."""

    log_s: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateInParts:
    """log seconds (P, D), and the parts of its doubt (P, D, parts): variances before `DeviceModel.doubt` weighs them.

    What every program has; works that are unlike any measured one; a type unlike any measured one; the host's share.
    """

    log_s: FloatArray
    doubts: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """Efficiencies learned on `devices` from the works in `marks` (U), with weights (U, D) of device and host.

    `programs` are the content hashes of measured programs with their weights (P, D): what such a program's
    measurements said beyond its operations anchors it on other types. `doubt` weighs what its errors come from
    (`EstimateInParts`), where that was fitted on labels left out; `reading` is how records are read (`work.READING`).
    """

    terms: Terms
    devices: tuple[Specification, ...]
    marks: Marks
    weights: EfficiencyWeights
    programs: Mapping[str, int] = field(default_factory=dict)
    tf32: bool = False
    reading: int = 1
    doubt: tuple[float, ...] = PLAIN_DOUBT

    @classmethod
    def fit(
        cls,
        dry_runs: Sequence[DryRun],
        devices: Sequence[Specification],
        measured: MeasuredTimes,
        *,
        terms: Terms | None = None,
        tf32: bool = False,
        grid: float = 0.0,
        reading: int = 1,
        radius: float = 0.0,
        robust: bool = False,
    ) -> Self:
        """Learn from run times of programs with usable dry runs; raises InputError when one is not usable.

        `grid` > 0 merges works of like shape, for corpora with very many, `radius` > 0 what is learned of them, and
        `reading` is how records are read (all as in `Workload.of`). A `robust` fit lets single rows be far off.
        """
        for run in dry_runs:
            if not run.usable:
                raise InputError(f"{run.content_hash}: its dry run is not usable ({run.reason}); leave it out")
        load, terms = Workload.of(dry_runs, grid=grid, reading=reading, radius=radius), terms or Terms()
        from kilowait.predict.device_model.fit import FitProblem  # loads SciPy, which a prediction does not need

        problem = FitProblem(load=load, devices=devices, measured=measured, terms=terms, tf32=tf32, robust=robust)
        weights = problem.solve()
        programs = {run.content_hash: p for p, run in enumerate(dry_runs)}
        return cls(
            terms=terms,
            devices=tuple(devices),
            marks=Marks.of(load.marks),
            weights=weights,
            programs=programs,
            tf32=tf32,
            reading=reading,
        )

    def provenance(self, device: Specification) -> Provenance:
        """Modelled for a type that was never measured, estimated for one that other programs were measured on."""
        return Provenance.ESTIMATED if device.name in {d.name for d in self.devices} else Provenance.MODELLED

    def predict(self, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> Estimate:
        """Run times of P programs on D devices, measured ones or new; a dry run without operations takes a start.

        Programs that the model was fitted to are anchored by their own measurements.
        """
        if self.reading > 1:
            told = self.in_parts(dry_runs, devices)
            return Estimate(log_s=told.log_s, sigma=np.sqrt(told.doubts @ np.array(self.doubt)))
        load = Workload.of(dry_runs)
        efficiencies = self._read(load, devices)
        workload_totals = self._totals(load, devices, efficiencies)
        return Estimate(
            log_s=workload_totals.log_s + self._anchored(dry_runs, devices),
            sigma=self._sigma(load, efficiencies, workload_totals, devices),
        )

    def in_parts(self, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> EstimateInParts:
        """What `predict` says, and where its doubt is from."""
        load = Workload.of(dry_runs, reading=self.reading)
        efficiencies = self._read(load, devices)
        workload_totals = self._totals(load, devices, efficiencies)
        unlike = np.sqrt(efficiencies.unlike_device)[load.work, None]
        on_device, on_host = workload_totals.device_share, workload_totals.host_share
        device, host = load.added(on_device), load.added(on_host)
        unlike_s = load.added(on_device * unlike)  # works of one program are wrong together
        known = {(d.name, d.source) for d in self.devices}
        is_known = [d.is_calibrated or (d.name, d.source) in known for d in devices]
        new_host = np.where(is_known, KNOWN_HOST, 1.0)
        doubts = [np.full_like(host, 0.01), unlike_s**2, device**2 * self._novelty(devices), host**2 * new_host]
        log_s = workload_totals.log_s + self._anchored(dry_runs, devices)
        return EstimateInParts(log_s=log_s, doubts=np.stack(doubts, axis=2))

    def _novelty(self, devices: Sequence[Specification]) -> FloatArray:
        """How unlike any measured type each is (D,), from 0 to 1, by their sheets."""
        return np.asarray(1 - over_devices(self.terms, self.devices, devices)["alike"].max(0, initial=0.0))

    def _anchored(self, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> FloatArray:
        """What the programs' own measurements on other types say beyond their operations (P, D)."""
        over = over_devices(self.terms, self.devices, devices)
        return np.asarray(self._anchors(dry_runs) @ program_terms(self.terms, over))

    def totals(self, load: Workload, devices: Sequence[Specification]) -> WorkloadTotals:
        """Run times from operations alone, and what of them falls on which."""
        return self._totals(load, devices, self._read(load, devices))

    def _totals(self, load: Workload, devices: Sequence[Specification], efficiencies: "_Read") -> WorkloadTotals:
        baseline = Baseline.of(load.columns, devices, tf32=self.tf32)
        return totals(load, baseline.device + efficiencies.device, baseline.host + efficiencies.host, baseline.corner)

    def _read(self, load: Workload, devices: Sequence[Specification]) -> "_Read":
        """What is known of works on devices, `BLOCK` works at a time: covariances of all would take gigabytes."""
        terms, covariances = self.terms, over_devices(self.terms, self.devices, devices)
        parts = []
        for start in range(0, load.size, BLOCK):
            marks = Marks.of(load.columns.works[start : start + BLOCK])
            on_device, on_host = device_terms(terms, marks, self.marks), host_terms(terms, marks, self.marks)
            parts.append(
                _Read(
                    applied(on_device, self.weights.device, covariances),
                    applied(on_host, self.weights.host, covariances),
                    _unlike(on_device["all"], most_device(terms)),
                    _unlike(on_host["all"], most_host(terms)),
                )
            )
        return _Read(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _anchors(self, dry_runs: Sequence[DryRun]) -> FloatArray:
        """Weights of these programs (P, D), zero for one that was not measured."""
        rows = [self.programs.get(run.content_hash, -1) for run in dry_runs]
        padded = np.concatenate([self.weights.program, np.zeros((1, len(self.devices)))])
        return np.asarray(padded[rows])

    def _sigma(
        self, load: Workload, efficiencies: "_Read", workload_totals: WorkloadTotals, devices: Sequence[Specification]
    ) -> FloatArray:
        """Doubt by what the works have in common with none that was measured, by the type's novelty, and noise.

        A bound from the nearest work and type alone, cheap where the full posterior needs all training rows.
        """
        terms, known_names = self.terms, {d.name for d in self.devices}
        novelty = self._novelty(devices)
        work_variance = workload_totals.device_share**2 * (
            efficiencies.unlike_device[load.work, None] + terms.shape_alike**2 * novelty
        )
        work_variance += workload_totals.host_share**2 * efficiencies.unlike_host[load.work, None]
        device, host = (load.added(share) for share in (workload_totals.device_share, workload_totals.host_share))
        new_host = np.array([0.0 if d.is_calibrated or d.name in known_names else NEW_HOST for d in devices])
        common_variance = (device * NEW_DEVICE) ** 2 * novelty + host**2 * (terms.host_noise**2 + new_host**2)
        return np.asarray(np.sqrt(load.added(work_variance) + common_variance + terms.noise**2 + terms.program**2))

    def compact(self) -> Self:
        """The same in half the room: weights in single precision, and no program's own anchor."""
        single: list[Any] = [weights.astype(np.float32) for weights in (self.weights.device, self.weights.host)]
        device, host = single
        return replace(self, programs={}, weights=EfficiencyWeights(device, host, np.zeros((0, len(self.devices)))))

    def tensors(self) -> dict[str, FloatArray]:
        """Its arrays by name: with `description` all there is to keep."""
        return {
            "shape": self.marks.shape,
            "device": self.weights.device,
            "host": self.weights.host,
            "program": self.weights.program,
        }

    def description(self) -> dict[str, Any]:
        """Everything else, as JSON takes it."""
        return {
            "terms": asdict(self.terms),
            "devices": [{k: v for k, v in asdict(d).items() if not k.endswith("_factor")} for d in self.devices],
            "kin": list(self.marks.kin),
            "group": list(self.marks.group),
            "op": list(self.marks.op),
            "variant": list(self.marks.variant),
            "programs": dict(self.programs),
            "tf32": self.tf32,
            "reading": self.reading,
            "doubt": list(self.doubt),
        }

    @classmethod
    def restored(cls, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `description` and `tensors`; raises ModelError for parts that do not fit each other."""
        try:
            marks = Marks(
                kin=tuple(description["kin"]),
                group=tuple(description["group"]),
                op=tuple(description["op"]),
                variant=tuple(description.get("variant") or [""] * len(description["op"])),
                shape=np.asarray(tensors["shape"], dtype=np.float64),
            )
            device, host, program = (
                np.asarray(tensors[name], dtype=np.float64) for name in ("device", "host", "program")
            )
            model = cls(
                terms=Terms(**description["terms"]),
                devices=tuple(Specification(**d) for d in description["devices"]),
                marks=marks,
                weights=EfficiencyWeights(device, host, program),
                programs=dict(description["programs"]),
                tf32=bool(description["tf32"]),
                reading=int(description.get("reading", 1)),
                doubt=tuple(float(weight) for weight in description.get("doubt", PLAIN_DOUBT)),
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ModelError(f"not a device model: {error!r}; fit it again") from error
        model._check()
        return model

    def _check(self) -> None:
        works, types = len(self.marks.group), len(self.devices)
        shapes = {
            "shape": (works, len(SCALES)),
            "device": (works, types),
            "host": (works, types),
            "program": (len(self.programs), types),
        }
        for name, array in self.tensors().items():
            if array.shape != shapes[name] or not np.isfinite(array).all():
                raise ModelError(f"device model: {name} has shape {array.shape}, needs {shapes[name]}, all finite")


def _unlike(covariance: FloatArray, largest: float) -> FloatArray:
    """Variance (A,) that is left of `largest` when the nearest of the measured works is known, covariance (A, B)."""
    nearest = covariance.max(1, initial=0.0) / largest
    return np.asarray(largest * (1 - nearest**2))
