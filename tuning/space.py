"""What tuning.probe searches, and the probe that each point stands for."""

from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.probe.kernel_ridge import KernelConfig
from kilowait.predict.probe.mlp import MLPConfig
from kilowait.predict.probe.probe import ProbeConfig


def vectors(keys: Sequence[str]) -> list[str]:
    """Each feature key alone, and each pair of a key with one pooled over numbers, joined by +."""
    numbers = [key for key in keys if FeatureConfiguration.parse(key).pooling == "numbers"]
    return [*keys, *(f"{key}+{other}" for key in keys if key not in numbers for other in numbers)]


class SearchSpace:
    """The search space, asked trial by trial; a class because Ray pickles it into the experiment's state."""

    def __init__(self, vectors: Sequence[str], kinds: Sequence[str], smoke: bool) -> None:
        self.vectors, self.kinds, self.smoke = tuple(vectors), tuple(kinds), smoke

    def __call__(self, trial: Any) -> None:
        """Define one trial's parameters (Optuna's define-by-run)."""
        kind = trial.suggest_categorical("kind", self.kinds)
        trial.suggest_categorical("features", self.vectors)
        trial.suggest_categorical("components", (0, 32, 64, 128, 256))
        if kind == "mlp":
            self._network(trial)
        else:
            trial.suggest_categorical("kernel", ("linear", "gaussian"))
            trial.suggest_float("share", 0.5, 1.0)

    def _network(self, trial: Any) -> None:
        trial.suggest_int("first", 32, 1024, log=True)
        trial.suggest_int("second", 8, 128, log=True)
        trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        trial.suggest_float("weight_decay", 1e-4, 1.0, log=True)
        trial.suggest_float("l1", 1e-7, 1e-3, log=True)
        trial.suggest_float("dropout", 0.0, 0.5)
        trial.suggest_categorical("batch_norm", (True, False))
        trial.suggest_categorical("batch_size", (16, 64))
        trial.suggest_categorical("max_epochs", (5,) if self.smoke else (30, 100, 300))


def config_of(drawn: Mapping[str, Any]) -> ProbeConfig:
    """The probe that a trial's parameters stand for; raises InputError for an unknown kind."""
    common: dict[str, Any] = {"features": tuple(drawn["features"].split("+")), "components": drawn["components"]}
    if drawn["kind"] == "kernel":
        regression = KernelConfig(kind=drawn["kernel"], share=drawn["share"])
        return ProbeConfig(kind="kernel", regression=regression, **common)
    names = ("learning_rate", "weight_decay", "l1", "dropout", "batch_norm", "batch_size", "max_epochs")
    network = MLPConfig(hidden=(drawn["first"], drawn["second"]), **{name: drawn[name] for name in names})
    return ProbeConfig(kind=drawn["kind"], network=network, **common)
