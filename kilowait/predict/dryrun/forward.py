"""Programs that define a model and its inputs, and whose job is one forward pass.

The convention of KernelBench: `Model`, `get_init_inputs()` and `get_inputs()`; the job is
`Model(*get_init_inputs())(*get_inputs())` on the device, without gradients, as the module stands after construction.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from kilowait.predict.dryrun.child.older_torch import tree_leaves
from kilowait.predict.dryrun.dry_program import NAMES
from kilowait.predict.dryrun.loops.loops import Loops
from kilowait.predict.dryrun.loops.rewrite import rewrite
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS
from kilowait.predict.dryrun.recorder import Recorder, tracing


def record_forward(recorder: Recorder, text: str, name: str) -> float:
    """Record one forward pass of the program `text`; returns how many parameters and buffers its model has.

    It executes the text in this process. Raises ValueError when the program does not define `NAMES`, and whatever the
    program raises.
    """
    with tracing(recorder):
        recorder.muted += 1
        namespace: dict[str, Any] = {"__name__": "program", "__file__": name, LOOPS: Loops(recorder)}
        exec(compile(rewrite(text, name), name, "exec", dont_inherit=True), namespace)
        missing = [required for required in NAMES if required not in namespace]
        if missing:
            raise ValueError(f"{name}: defines no {', '.join(missing)}; a forward program needs {', '.join(NAMES)}")
        model = namespace["Model"](*_moved(namespace["get_init_inputs"](), recorder.target))
        model = model.to(recorder.target)
        inputs = _moved(namespace["get_inputs"](), recorder.target)
        recorder.muted -= 1
        recorder.tensors.follow(part for part in tree_leaves((list(model.parameters()), list(model.buffers()), inputs))
                       if isinstance(part, Tensor))  # fmt: skip
        with torch.no_grad():
            model(*inputs)
    return float(sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers())))


def _moved(values: Any, device: str) -> Any:
    return tree_map(lambda value: value.to(device) if isinstance(value, Tensor) else value, list(values))
