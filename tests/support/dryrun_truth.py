"""Count what programs do, whole or dry: `python dryrun_truth.py whole|dry FOLDER` prints JSON, a program a key.

The whole way runs every iteration on real tensors under a counter that shares no code with the recorder but the names
of operators that move no data.
"""

import contextlib
import io
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torch.utils.flop_counter import flop_registry

from kilowait.predict.dryrun.operators import kernels_of

MULTIPLIES = {"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.convolution", "aten.convolution_backward"}


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.flops = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        op = func._schema.name.replace("::", ".")
        if op.startswith("aten") and op != "aten._local_scalar_dense" and kernels_of(op, 1):
            self.calls[op] += 1
            if op in MULTIPLIES:
                self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def whole(path: Path) -> dict[str, Any]:
    steps = [0]
    register_optimizer_step_post_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    make = DataLoader.__init__
    DataLoader.__init__ = lambda *args, **kwargs: make(*args, **{**kwargs, "num_workers": 0})
    counter = _Counter()
    with counter:
        exec(compile(path.read_text(), path.name, "exec"), {"__name__": "__main__"})
    return {"calls": counter.calls, "flops": counter.flops, "steps": steps[0]}


def dry(path: Path) -> dict[str, Any]:
    from kilowait.predict.dryrun.child.import_time import ImportTime
    from kilowait.predict.dryrun.pretend.fused_kernels import pretend_kernels
    from kilowait.predict.dryrun.pretend.libraries import pretend_libraries
    from kilowait.predict.dryrun.recorder import Recorder
    from kilowait.predict.dryrun.script import record_script

    recorder = Recorder(target="cpu")
    pretend_kernels(recorder)
    pretend_libraries(recorder)
    record_script(recorder, path, (), ImportTime(0.0), path.parent)
    calls: Counter[str] = Counter()
    flops = 0.0
    for op in recorder.operations():
        calls[op.op] += op.count
        flops += op.count * op.flops if op.op in MULTIPLIES else 0.0
    made = recorder.tallies.root.calls
    return {"calls": calls, "flops": flops, "steps": recorder.steps, "made": made, "guesses": list(recorder.guesses)}


def main(way: str, folder: Path) -> None:
    """Run each program in a fork of this process, which has PyTorch loaded."""
    if way == "dry":
        from kilowait.predict.dryrun.warm import warm

        warm("cpu")
    counted = {}
    for path in sorted(folder.glob("*.py")):
        ours, theirs = os.pipe()
        if os.fork() == 0:
            with contextlib.redirect_stdout(io.StringIO()):
                found = {"whole": whole, "dry": dry}[way](path)
            os.write(theirs, json.dumps(found).encode())
            os._exit(0)
        os.close(theirs)
        counted[path.name] = json.loads(os.fdopen(ours).read())
        os.wait()
    sys.stdout.write(json.dumps(counted) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], Path(sys.argv[2]))
