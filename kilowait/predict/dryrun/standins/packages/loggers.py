"""Experiment trackers: inert whether they are installed or not, so that nothing is sent and nothing is missing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.inert import Inert, InertModule

VERSIONS = {
    "wandb": "0.21.0",
    "tensorboard": "2.20.0",
    "tensorboardX": "2.6.4",
    "tensorboard_logger": "0.1.0",
    "mlflow": "3.1.0",
    "comet_ml": "3.49.0",
    "neptune": "1.14.0",
    "aim": "3.29.1",
    "clearml": "1.18.0",
    "trains": "0.16.4",
    "visdom": "0.2.4",
    "swanlab": "0.6.0",
    "trackio": "0.2.0",
    "dvclive": "3.48.0",
    "sacred": "0.8.7",
    "codecarbon": "3.0.0",
    "dllogger": "1.0.0",
    "mlperf_logging": "4.0.0",
}
"""The packages, each with the version that its stand-in says it has: libraries ask whether one is installed."""

METERS = "pynvml"
"""What asks the driver how a GPU does: inert where it is missing, for the program alone."""


def stand_in_loggers(hooks: ImportHooks) -> None:
    """Replace the packages and let Hugging Face's trainers report to none of them."""
    hooks.instead(" ".join([*VERSIONS, "torch.utils.tensorboard"]), _logger, always=True)
    hooks.as_installed(VERSIONS)
    hooks.instead(METERS, InertModule)
    hooks.only_for_the_program(METERS)
    hooks.after("transformers.integrations.integration_utils", _no_callbacks)


def _logger(name: str) -> ModuleType:
    module = InertModule(name)
    module.__version__ = VERSIONS.get(name, module.__version__)
    if name == "wandb":
        _remember_configuration(module)
    elif name.endswith("tensorboard.summary"):
        setattr(module, "hparams", lambda *_, **__: (Inert(), Inert(), Inert()))  # noqa: B010 - it is unpacked
    elif name == "clearml":
        setattr(module, "Task", _Task())  # noqa: B010 - a module's type knows no such name
    return module


class Settings(dict):
    """A configuration whose entries are attributes, too, as wandb's is."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As a dictionary's; what else wandb takes is left out."""
        kwargs.pop("allow_val_change", None)
        super().update(*(_entries(arg) for arg in args), **kwargs)

    def setdefaults(self, entries: Any) -> None:
        """Entries that are not there yet."""
        for name, value in _entries(entries).items():
            self.setdefault(name, value)


def _entries(values: Any) -> dict[str, Any]:
    if values is None or isinstance(values, str):
        return {}
    return dict(values) if hasattr(values, "keys") else dict(vars(values))


def _remember_configuration(module: Any) -> None:
    """A program reads its own configuration back from the run."""
    run = Inert()
    module.config = run.config = Settings()

    def init(*_: Any, config: Any = None, **__: Any) -> Any:
        module.config.update(config)
        module.run = run
        return run

    module.run, module.init, module.sweep = None, init, lambda *_, **__: "sweep"
    run.id, run.name, run.dir, run.summary = "run", "run", ".", Settings()
    module.summary = run.summary
    module.agent = lambda _sweep, function=None, count=None, **__: function() if function else None


class _Task(Inert):
    def connect(self, values: Any, *_: Any, **__: Any) -> Any:
        """What it is given: nobody overrides it."""
        return values

    connect_configuration = connect

    def init(self, *_: Any, **__: Any) -> Any:
        """The task itself."""
        return self

    current_task = create = get_task = init


def _no_callbacks(module: Any) -> None:
    module.get_reporting_integration_callbacks = lambda *_, **__: []
    module.get_available_reporting_integrations = lambda *_, **__: []
