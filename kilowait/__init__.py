"""kilowait predicts the runtime and energy of ML jobs from their source and schedules them on mixed GPUs.

What this module names is the public API and stays as it is; everything else is internal. Names load what they need
when they are first used, so `import kilowait` alone costs nothing; `__init__.pyi` tells type checkers what they are.

    import kilowait

    forecast = kilowait.predict("train.py", arguments=["--epochs", "3"], devices=["A100", "H100"])
    forecast["A100"].runtime_s                      # seconds; energy_kwh is the whole job's
    result = kilowait.simulate("jobs.csv", "A100=4,A6000=8", "easy")
    result.scores.total_wait_s
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "POLICIES",
    "Client",
    "Job",
    "Prediction",
    "Predictor",
    "Submission",
    "__version__",
    "errors",
    "predict",
    "progress",
    "simulate",
]

_HOME = {
    "Client": "kilowait.client.client",
    "Job": "kilowait.core.jobs",
    "POLICIES": "kilowait.policies",
    "Predictor": "kilowait.predict.predictor",
    "Prediction": "kilowait.core.jobs",
    "Submission": "kilowait.simulate.run",
    "progress": "kilowait.measure.own_line",
}
"""The module of each name."""

_MODULES = {"errors": "kilowait.core.errors", "predict": "kilowait.predict", "simulate": "kilowait.simulate"}
"""Names that are modules; the last two can be called (`kilowait.core.callable_package` says why)."""


def __getattr__(name: str) -> Any:
    """A public name, looked up when it is first used; raises MissingExtra where it needs a library of an extra."""
    if name not in _HOME | _MODULES:
        raise AttributeError(f"module 'kilowait' has no attribute {name!r}; public are {', '.join(__all__)}")
    try:
        value: Any = import_module(_MODULES.get(name) or _HOME[name])
    except ModuleNotFoundError as error:
        from kilowait.core.extras import explained

        raise explained(error, f"kilowait.{name}") from error
    if name in _HOME:
        value = getattr(value, name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext kilowait` calls: `%%predict` is there from now on."""
    import_module(f"{__name__}.advise.in_notebooks.cell_magic").load_ipython_extension(shell)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
