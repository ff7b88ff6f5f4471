"""How many parameters a program's modules have: those that are used, not those that it made on the way."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from kilowait.predict.dryrun.distributed.whole_parameters import numbers_of
from kilowait.predict.dryrun.recorder import Recorder


def count_parameters(recorder: Recorder) -> Callable[[Any, bool], None]:
    """Every parameter once, however many modules share it; one that another takes the place of counts no longer.

    Gives a function for the first step of an optimizer: it adds what that one learns and no module made (copies of
    layers), and at the first of all counts anew, for modules may have been resized or thrown away unused before. Where
    no optimizer steps, that is done at the end.
    """
    counted: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
    places: dict[int, int] = {}
    made: dict[int, tuple[Any, int]] = {}
    gone = [0]
    copied = _watch_copies()

    def registered(module: nn.Module, name: str, parameter: Any) -> None:
        recorder.built += isinstance(parameter, Tensor)
        before = module._parameters.get(name)
        if before is parameter:
            return
        if isinstance(parameter, Tensor) and parameter.requires_grad:
            if id(parameter) not in counted:
                if id(parameter) in made:  # that of another, which is no more
                    gone[0] += made[id(parameter)][1] if id(parameter) in recorder.read else 0
                    recorder.read.discard(id(parameter))
                made[id(parameter)] = weakref.ref(parameter), numbers_of(parameter)
                counted[id(parameter)], places[id(parameter)] = parameter, 0
                recorder.parameters += numbers_of(parameter)
            places[id(parameter)] += 1
        if before is not None and counted.get(id(before)) is before:
            places[id(before)] -= 1
            if not places[id(before)]:
                del counted[id(before)], made[id(before)]
                recorder.parameters -= numbers_of(before)

    def learnt(optimizer: Any, first: bool) -> None:
        stepped = [p for group in optimizer.param_groups for p in group["params"] if not hasattr(p, "of_others")]
        copies = {id(p): p for p in stepped if id(p) not in counted}
        if not first:
            recorder.parameters += sum(map(numbers_of, copies.values()))
        counted.update(copies)
        if first:
            count_anew()
            recorder.ends.closers.remove(count_what_learnt)

    def count_anew() -> None:
        here = sum(map(numbers_of, list(counted.values())))
        used = sum(size for key, (alive, size) in made.items() if alive() is None and key in recorder.read)
        recorder.parameters = float(here + used + gone[0])

    def count_what_learnt() -> None:
        """Of a program that trains without an optimizer: copies that are there count too."""
        if recorder.read:
            count_anew()
            recorder.parameters += sum(numbers_of(p) for p in list(copied) if id(p) not in counted)

    recorder.ends.closers.append(count_what_learnt)
    register_module_parameter_registration_hook(registered)
    return learnt


def _watch_copies() -> weakref.WeakSet[Tensor]:
    """The parameters that `copy.deepcopy` makes, of which no module is told, as long as they are there."""
    copied: weakref.WeakSet[Tensor] = weakref.WeakSet()
    make: Any = Tensor.__deepcopy__

    def copy(self: Any, memo: Any) -> Any:
        made = make(self, memo)
        if made.requires_grad:
            copied.add(made)
        return made

    Tensor.__deepcopy__ = copy  # type: ignore[method-assign]
    return copied
