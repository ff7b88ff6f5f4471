"""Packages of kernels: what they compute is told by their names, whether they are installed or not.

They stand in for the program's own imports. Libraries that are installed see the environment as it is, because they
have a way of their own where such a package is missing.
"""

from __future__ import annotations

import sys
from types import ModuleType

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.attention import attention_packages
from kilowait.predict.dryrun.standins.packages.custom_operators import stand_in_custom_operators
from kilowait.predict.dryrun.standins.packages.optimizers import optimizer_packages
from kilowait.predict.dryrun.standins.packages.triton_kernels import triton_package
from kilowait.predict.dryrun.standins.packages.unmodelled import KernelModule

UNMODELLED = "mamba_ssm causal_conv1d transformer_engine fused_dense_lib liger_kernel sageattention amp_C apex_C"


def stand_in_kernels(hooks: ImportHooks, recorder: Recorder) -> None:
    """Let the program import them."""
    known = {**attention_packages(recorder), **optimizer_packages(recorder)}

    def make(name: str) -> ModuleType:
        module = KernelModule(name, recorder, known.get(name, {}))
        for below in known:  # `bnb.optim` is there once `bitsandbytes` is imported
            parent, _, last = below.rpartition(".")
            if parent == name and last not in vars(module):
                sys.modules[below] = make(below)
                setattr(module, last, sys.modules[below])
        if "." not in name:
            recorder.assume(f"{name}: modelled by what its functions compute", "modelled")
        return module

    roots = " ".join(sorted({name.partition(".")[0] for name in known} - {"deepspeed"}))
    hooks.instead(f"{roots} deepspeed.ops {UNMODELLED}", make, always=True)
    hooks.instead("deepspeed", make)
    hooks.instead("triton", triton_package(recorder), always=True)
    hooks.only_for_the_program(f"{roots} triton {UNMODELLED}")
    stand_in_custom_operators(recorder)
