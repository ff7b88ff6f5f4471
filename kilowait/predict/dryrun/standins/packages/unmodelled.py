"""What of a known package is not modelled: it gives its first tensor back, and its time is said to be missing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from kilowait.predict.dryrun.recorder import Recorder


class KernelModule(ModuleType):
    """A module with what is modelled in `known`; any other name is there, and said to be missing when it is used."""

    __version__ = "999.0.0"

    def __init__(self, name: str, recorder: Recorder, known: dict[str, Any]) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__ = sorted(known)
        self._recorder = recorder
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = (
            _layer(self._recorder, self.__name__, name)
            if name[:1].isupper()
            else _function(self._recorder, f"{self.__name__}.{name}")
        )
        setattr(self, name, value)
        return value


def _function(recorder: Recorder, name: str) -> Any:
    def unmodelled(*args: Any, **kwargs: Any) -> Any:
        recorder.unmodelled.add(f"operator {name}")
        return next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)

    return unmodelled


def _layer(recorder: Recorder, package: str, name: str) -> Any:
    class Unmodelled(nn.Module):
        """A layer that does nothing and says so."""

        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__()

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            """Its first tensor."""
            return _function(recorder, f"{package}.{name}")(*args, **kwargs)

    Unmodelled.__name__ = Unmodelled.__qualname__ = name
    return Unmodelled
