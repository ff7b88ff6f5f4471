"""What was learned of efficiencies, ready to predict: arrays and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kilowait.errors import InputError, ModelError
from kilowait.jobs import Provenance
from kilowait.predict.accuracy import FloatArray
from kilowait.predict.device_model.efficiency import (
    Marks,
    Terms,
    device_terms,
    host_terms,
    over_devices,
    program_terms,
)
from kilowait.predict.device_model.fit import Measured, Problem, Weights, applied
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import SCALES
from kilowait.predict.device_model.workload import Baseline, Totals, Workload, totals
from kilowait.predict.dryrun.record import DryRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """log seconds (P, D), and `sigma` (P, D): the standard deviation that the model expects of its error in them."""

    log_s: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """Efficiencies learned on `devices` from the works in `marks` (U), with weights (U, D) of device and host.

    `programs` are the content hashes of measured programs with their weights (P, D): what such a program's
    measurements said beyond its operations anchors it on other types.
    """

    terms: Terms
    devices: tuple[Specification, ...]
    marks: Marks
    weights: Weights
    programs: Mapping[str, int] = field(default_factory=dict)
    tf32: bool = False

    @classmethod
    def fit(
        cls,
        dry_runs: Sequence[DryRun],
        devices: Sequence[Specification],
        measured: Measured,
        *,
        terms: Terms | None = None,
        tf32: bool = False,
        grid: float = 0.0,
    ) -> Self:
        """Learn from run times of programs with usable dry runs; raises InputError when one is not usable.

        `grid` > 0 merges works of like shape (`Workload.of`), for corpora with very many.
        """
        for run in dry_runs:
            if not run.usable:
                raise InputError(f"{run.content_hash}: its dry run is not usable ({run.reason}); leave it out")
        load, terms = Workload.of(dry_runs, grid=grid), terms or Terms()
        weights = Problem(load=load, devices=devices, measured=measured, terms=terms, tf32=tf32).solve()
        programs = {run.content_hash: p for p, run in enumerate(dry_runs)}
        marks = Marks.of(load.columns.works)
        return cls(terms=terms, devices=tuple(devices), marks=marks, weights=weights, programs=programs, tf32=tf32)

    def provenance(self, device: Specification) -> Provenance:
        """Modelled for a type that was never measured, estimated for one that other programs were measured on."""
        return Provenance.ESTIMATED if device.name in {d.name for d in self.devices} else Provenance.MODELLED

    def predict(self, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> Estimate:
        """Run times of P programs on D devices, measured ones or new; a dry run without operations takes a start.

        Programs that the model was fitted to are anchored by their own measurements.
        """
        load = Workload.of(dry_runs)
        at = self.totals(load, devices)
        over = over_devices(self.terms, self.devices, devices)
        anchor = self._anchors(dry_runs) @ program_terms(self.terms, over)
        sigma = self._sigma(load, Marks.of(load.columns.works), at, devices)
        return Estimate(log_s=at.log_s + anchor, sigma=sigma)

    def totals(self, load: Workload, devices: Sequence[Specification]) -> Totals:
        """Run times from operations alone, and what of them falls on which."""
        baseline = Baseline.of(load.columns, devices, tf32=self.tf32)
        marks = Marks.of(load.columns.works)
        over = over_devices(self.terms, self.devices, devices)
        device = applied(device_terms(self.terms, marks, self.marks), self.weights.device, over)
        host = applied(host_terms(self.terms, marks, self.marks), self.weights.host, over)
        return totals(load, baseline.device + device, baseline.host + host, baseline.corner)

    def _anchors(self, dry_runs: Sequence[DryRun]) -> FloatArray:
        """Weights of these programs (P, D), zero for one that was not measured."""
        rows = [self.programs.get(run.content_hash, -1) for run in dry_runs]
        padded = np.concatenate([self.weights.program, np.zeros((1, len(self.devices)))])
        return np.asarray(padded[rows])

    def _sigma(self, load: Workload, marks: Marks, at: Totals, devices: Sequence[Specification]) -> FloatArray:
        """Doubt by what the works have in common with none that was measured, the type's novelty, and noise.

        A bound from the nearest work and type alone, cheap where the full posterior needs all training rows.
        """
        terms, found = self.terms, device_terms(self.terms, marks, self.marks)["all"]
        most = terms.kin**2 + terms.group**2 + terms.op**2 + terms.shape**2
        known = (found.max(1) / most if found.shape[1] else np.zeros(load.size)) ** 2
        near = over_devices(terms, self.devices, devices)["alike"].max(0) ** 2
        unknown = most * (1 - known)[load.work, None] + terms.shape_alike**2 * (1 - near)[None, :]
        doubt = np.stack(
            [
                np.asarray(load.incidence(at.device_share[:, j] ** 2 * unknown[:, j]).sum(1)).ravel()
                for j in range(len(devices))
            ],
            axis=1,
        )
        new = np.array([d.name not in {own.name for own in self.devices} for d in devices])
        hosts = np.stack([np.asarray(load.incidence(s).sum(1)).ravel() for s in at.host_share.T], axis=1)
        host = hosts**2 * (terms.host_noise**2 + terms.machine**2 * new)
        return np.sqrt(doubt + host + terms.noise**2 + terms.program**2)

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
            "devices": [asdict(d) for d in self.devices],
            "kin": list(self.marks.kin),
            "group": list(self.marks.group),
            "op": list(self.marks.op),
            "programs": dict(self.programs),
            "tf32": self.tf32,
        }

    @classmethod
    def restored(cls, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `description` and `tensors`; raises ModelError for parts that do not fit each other."""
        try:
            marks = Marks(
                kin=tuple(description["kin"]),
                group=tuple(description["group"]),
                op=tuple(description["op"]),
                shape=np.asarray(tensors["shape"], dtype=np.float64),
            )
            device, host, program = (
                np.asarray(tensors[name], dtype=np.float64) for name in ("device", "host", "program")
            )
            model = cls(
                terms=Terms(**description["terms"]),
                devices=tuple(Specification(**d) for d in description["devices"]),
                marks=marks,
                weights=Weights(device, host, program),
                programs=dict(description["programs"]),
                tf32=bool(description["tf32"]),
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ModelError(f"not a device model: {error!r}; fit it again") from error
        model._check()
        return model

    def _check(self) -> None:
        works, types = len(self.marks.group), len(self.devices)
        wanted = {
            "shape": (works, len(SCALES)),
            "device": (works, types),
            "host": (works, types),
            "program": (len(self.programs), types),
        }
        for name, array in self.tensors().items():
            if array.shape != wanted[name] or not np.isfinite(array).all():
                raise ModelError(f"device model: {name} has shape {array.shape}, needs {wanted[name]}, all finite")
