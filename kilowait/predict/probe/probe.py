"""The probe: a small regression from a source's embedding (and the device type) to one metric.

A `ProbeConfig` says how, `fit_probes` trains one or many (the folds of a cross-validation together), and a
`Probe` is what came out: tensors and nothing else, so that a bundle needs no pickle.

Not covered: intervals, sources unlike the training set, other features than embeddings (later additions enter as
further columns of x).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from kilowait.core.errors import InputError, ModelError
from kilowait.predict.embed.features import DEFAULT_FEATURES, PAPER_LAST
from kilowait.predict.probe import kernel_ridge, mlp
from kilowait.predict.probe.kernel_ridge import KernelConfig, KernelFit
from kilowait.predict.probe.mlp import MLPConfig

Kind = Literal["mlp", "kernel"]
SEED_STRIDE = 7919
"""Between the seeds of a probe's networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """How to turn labelled embeddings into a probe.

    `features` are keys of feature configurations, their vectors set side by side. `components` > 0 projects them
    on that many whitened principal components of the training scripts, 0 only standardises them. `device_input`
    trains one probe over all device types with the type as an input; otherwise each type has its own.
    `log_target` fits the metric's logarithm. `ensemble` networks (mlp only) are averaged.
    """

    kind: Kind = "kernel"
    features: tuple[str, ...] = tuple(feature.key for feature in DEFAULT_FEATURES)
    components: int = 0
    device_input: bool = True
    log_target: bool = True
    ensemble: int = 1
    network: MLPConfig = field(default_factory=MLPConfig)
    regression: KernelConfig = field(default_factory=KernelConfig)
    test_share: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not self.features:
            raise InputError("a probe needs at least one feature configuration, got none")
        if self.components < 0 or self.ensemble < 1:
            raise InputError(
                f"components must be >= 0 and ensemble >= 1, got {self.components!r} and {self.ensemble!r}"
            )
        if not 0 < self.test_share < 1:
            raise InputError(f"test_share must be between 0 and 1, got {self.test_share!r}")

    @classmethod
    def paper(cls, features: tuple[str, ...] = (PAPER_LAST.key,)) -> Self:
        """The paper's recipe, appendix A.2.2 to the letter.

        A three-layer perceptron 1024-30-1 with ReLU and batch norm on embeddings standardised to mean 0 and
        variance 1 (StandardScaler); batches of 8, up to 2,000 epochs, AdamW at 1e-4 with weight decay 0.001, L1
        of 1e-5, mean squared error, stopped when the epoch loss has fallen by no more than 0.001 for 30 epochs;
        9 scripts in 10 train. The paper's input width, 4608, is its language model's embedding and leaves no
        room for a device type z: hence one probe for each metric and type. Two readings are ours: targets are
        scaled like the inputs, because a rate of 1e-4 does not reach joules in 2,000 epochs, and no batch norm
        follows the output, because it would give every batch the same mean and variance whatever its labels.
        """
        return cls(kind="mlp", features=features, device_input=False, log_target=False, network=MLPConfig())

    @classmethod
    def default(cls) -> Self:
        """What kilowait predicts with: ridge on two poolings of layer 6, log targets, the type as an input.

        The mean over tokens says what kind of program it is, the sum over its numbers how much it does; together
        they predict better than either, and than the last token by far (the README has the table). Log targets
        because run times span orders of magnitude; one probe for all types because they share most of what the
        source says; closed form because it fits in a second and has no seed. The penalty is chosen with whole
        groups held out: chosen by script it predicts kinds of program it knows better, and new ones far worse than
        their mean.
        """
        return cls()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict` by way of JSON; raises InputError for what does not fit."""
        try:
            values = {name: _tuples(value) for name, value in data.items()}
            values["network"] = MLPConfig(**_tuples_in(data["network"]))
            values["regression"] = KernelConfig(**_tuples_in(data["regression"]))
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not a probe configuration: {error}") from error


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tuples_in(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _tuples(value) for name, value in data.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Labelled rows: x (S, d) a row a script; script, device and y (N,) a row a label.

    `script` and `device` index x and the device types; `keys` (S,) says which scripts a choice made inside the
    training rows must keep together.
    """

    x: Tensor
    script: Tensor
    device: Tensor
    y: Tensor
    keys: Tensor

    def where(self, mask: Tensor) -> "Rows":
        """The labels of `mask` (N,) and only the scripts they name."""
        scripts, script = torch.unique(self.script[mask], return_inverse=True)
        return Rows(x=self.x[scripts], script=script, device=self.device[mask], y=self.y[mask], keys=self.keys[scripts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A trained probe of one metric: its configuration, the device types it knows and its tensors."""

    config: ProbeConfig
    device_types: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    @property
    def inputs(self) -> int:
        """The width of the embedding it takes."""
        return self.tensors["center"].shape[0]

    def predict(self, x: Tensor) -> Tensor:
        """Embeddings x (N, d) -> the metric on every device type (N, D), in the metric's own unit.

        Raises ModelError when d is not the width that the probe was trained on.
        """
        if x.shape[1] != self.inputs:
            raise ModelError(f"the probe takes embeddings of {self.inputs} numbers, got {x.shape[1]}")
        z = _prepare(self.tensors, x)
        y = self._kernel(z) if self.config.kind == "kernel" else self._networks(z)
        return y.exp() if self.config.log_target else y

    def _kernel(self, z: Tensor) -> Tensor:
        parts = {name: self.tensors[name] for name in ("support", "dual", "offset", "width")}
        return KernelFit(**parts).predict(z)

    def _networks(self, z: Tensor) -> Tensor:
        """The mean over the ensemble for every type; tensors are stacked type by type, or once for all types."""
        t, types, columns = self.tensors, len(self.device_types), []
        for device in range(types):
            lanes = slice(0, None) if self.config.device_input else _lanes(device, self.config.ensemble)
            weights = {name: t[name][lanes] for name in t if name[0] in "wbghmv" and name[1:].isdigit()}
            x = _with_type(z, torch.full((z.shape[0],), device), types) if self.config.device_input else z
            inputs = (x - t["x_mean"][lanes].unsqueeze(1)) / t["x_scale"][lanes].unsqueeze(1)
            y = mlp.forward(weights, inputs) * t["y_scale"][lanes, None] + t["y_mean"][lanes, None]
            columns.append(y.mean(0))
        return torch.stack(columns, dim=1)


def _lanes(device: int, ensemble: int) -> slice:
    return slice(device * ensemble, (device + 1) * ensemble)


def fit_probes(
    config: ProbeConfig, problems: Sequence[Rows], device_types: Sequence[str], *, seed: int, device: str = "cpu"
) -> list[Probe]:
    """Train a probe on each of `problems`, alike but for their rows; `device` is where networks train.

    Raises InputError for labels a logarithm cannot take and for device types without enough rows.
    """
    prepared = [_check(config, rows, device_types) for rows in problems]
    spaces = [_space(config, rows.x) for rows in prepared]
    if config.kind == "kernel":
        tensor_sets = [_fit_kernel(config, r, s, len(device_types)) for r, s in zip(prepared, spaces, strict=True)]
    else:
        tensor_sets = _fit_networks(config, prepared, spaces, len(device_types), seed, device)
    return [
        Probe(config=config, device_types=tuple(device_types), tensors={**space, **tensors})
        for space, tensors in zip(spaces, tensor_sets, strict=True)
    ]


def _check(config: ProbeConfig, rows: Rows, device_types: Sequence[str]) -> Rows:
    """Finite, positive where a logarithm follows, at least two rows a type; the target in the fitted scale."""
    if not torch.isfinite(rows.y).all() or not torch.isfinite(rows.x).all():
        raise InputError("labels and embeddings must be finite; drop the rows that have none")
    for index, name in enumerate(device_types):
        count = int((rows.device == index).sum())
        if count < 2:
            raise InputError(f"device type {name}: a probe needs at least 2 labelled scripts, got {count}")
    if not config.log_target:
        return rows
    if float(rows.y.min()) <= 0:
        raise InputError(f"a logarithmic probe needs labels > 0, got {float(rows.y.min())!r}")
    return Rows(x=rows.x, script=rows.script, device=rows.device, y=rows.y.log(), keys=rows.keys)


def _space(config: ProbeConfig, x: Tensor) -> dict[str, Tensor]:
    """What turns an embedding into a probe's inputs: center (d,), spread (d,), and a projection (d, k) or none."""
    if config.kind == "mlp" and not config.components:  # each network standardises its own rows
        return {"center": torch.zeros(x.shape[1]), "spread": torch.ones(x.shape[1])}
    center, spread = x.mean(0), _scale(x)
    if not config.components:
        return {"center": center, "spread": spread * x.shape[1] ** 0.5}
    _, s, vh = torch.linalg.svd(((x - center) / spread).double(), full_matrices=False)
    k = min(config.components, int((s > s[0] * 1e-6).sum()))
    projection = vh[:k].T / s[:k] * x.shape[0] ** 0.5
    return {"center": center, "spread": spread, "projection": projection.float()}


def _prepare(space: Mapping[str, Tensor], x: Tensor) -> Tensor:
    z = (x - space["center"]) / space["spread"]
    return z @ space["projection"] if "projection" in space else z


def _scale(x: Tensor) -> Tensor:
    """Standard deviation over rows (population, as StandardScaler); 1 where a column never varies."""
    scale = x.std(0, correction=0)
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))


def _fit_kernel(config: ProbeConfig, rows: Rows, space: Mapping[str, Tensor], types: int) -> dict[str, Tensor]:
    if not config.device_input:
        raise InputError("a kernel probe takes the device type as an input: device_input must be true")
    z = _prepare(space, rows.x)
    model = kernel_ridge.fit(config.regression, z, rows.script, rows.device, rows.y, rows.keys, types)
    return {
        "support": model.support,
        "dual": model.dual,
        "offset": model.offset,
        "width": model.width,
    }


def _with_type(z: Tensor, device: Tensor, types: int) -> Tensor:
    """z (N, d) beside its device type as indicator columns (N, d + D)."""
    return torch.cat([z, torch.nn.functional.one_hot(device, types).to(z.dtype)], dim=1)


def _fit_networks(
    config: ProbeConfig,
    problems: Sequence[Rows],
    spaces: Sequence[Mapping[str, Tensor]],
    types: int,
    seed: int,
    device: str,
) -> list[dict[str, Tensor]]:
    """All networks of all problems as one list of tasks, then gathered by problem."""
    tasks: list[mlp.Task] = []
    scalers: list[dict[str, Tensor]] = []
    for rows, space in zip(problems, spaces, strict=True):
        for x, y in _units(config, rows, space, types):
            scaler = {"x_mean": x.mean(0), "x_scale": _scale(x), "y_mean": y.mean(), "y_scale": _scale(y)}
            scaled_x = (x - scaler["x_mean"]) / scaler["x_scale"]
            scaled_y = (y - scaler["y_mean"]) / scaler["y_scale"]
            for _ in range(config.ensemble):
                member = len(tasks)
                tasks.append(mlp.Task(x=scaled_x, y=scaled_y, seed=seed + SEED_STRIDE * member))
                scalers.append(scaler)
    lanes = [{**s, **w} for s, w in zip(scalers, mlp.train(config.network, tasks, device), strict=True)]
    lanes_per_problem = len(lanes) // len(problems)
    return [_gather(lanes[i * lanes_per_problem : (i + 1) * lanes_per_problem]) for i in range(len(problems))]


def _units(config: ProbeConfig, rows: Rows, space: Mapping[str, Tensor], types: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of each separate network: all rows with their type, or the rows of each type."""
    z = _prepare(space, rows.x)[rows.script]
    if config.device_input:
        yield _with_type(z, rows.device, types), rows.y
        return
    for device in range(types):
        yield z[rows.device == device], rows.y[rows.device == device]


def _gather(lanes: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Weights have their leading axis already; scalers get one."""
    names = lanes[0].keys()
    return {
        n: torch.cat([lane[n] for lane in lanes]) if n[1:].isdigit() else torch.stack([lane[n] for lane in lanes])
        for n in names
    }
