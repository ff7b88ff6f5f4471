"""Which functions of installed packages hold the loops of a training, and their rewriting.

A function is read from its module's text when the program has imported that, rewritten as the program's own code is,
and put in the place of the one that was imported. Counters that such functions step (`self.step += 1`) are known to the
loops around them then. What a name does not find is left alone: versions differ.

Not covered: generators, and training loops of packages that are not named here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

from kilowait.predict.dryrun.frameworks.loaders import know_loaders
from kilowait.predict.dryrun.loops.loops import Loops
from kilowait.predict.dryrun.loops.rewrite import Sites, rewritten_functions
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS
from kilowait.predict.dryrun.pretend.after_import import AfterImport, Change

_LIGHTNING = {
    "loops.fit_loop": "run",
    "loops.training_epoch_loop": "run advance on_advance_end",
    "loops.epoch.training_epoch_loop": "run advance on_advance_end",
    "loops.evaluation_loop": "run",
    "loops.dataloader.evaluation_loop": "run",
    "loops.fetchers": "__next__",
    "loops.progress": "increment_by increment_ready increment_started increment_processed increment_completed",
}
FUNCTIONS = {
    "transformers.trainer": "_inner_training_loop _run_epoch evaluation_loop prediction_loop",
    "accelerate.accelerator": "_do_sync",
    "kilowait.predict.dryrun.distributed.deepspeed_engine": "step",
    **{f"lightning.pytorch.{module}": names for module, names in _LIGHTNING.items()},
    **{f"pytorch_lightning.{module}": names for module, names in _LIGHTNING.items()},
    "lightning.pytorch.demos.transformer": "tokenize",
    "ignite.engine.engine": "_run_once_on_dataset_legacy _run_once_on_dataset _internal_run_legacy _internal_run",
    "trl.trainer.": "train _inner_training_loop _generate_and_score_completions",
    "diffusers.pipelines.": "__call__",
    "fastai.learner": "all_batches _do_epoch _do_fit",
    "mmengine.runner.loops": "run run_epoch run_iter",
    "detectron2.engine.train_loop": "train",
    "ultralytics.engine.trainer": "_do_train",
    "ultralytics.engine.validator": "__call__",
    "composer.trainer.trainer": "_train_loop _eval_loop",
    "skorch.net": "fit_loop run_single_epoch",
}
"""Functions by module; a name that ends with a dot is a package, of which every module is looked at."""


def watch_trainers(loops: Loops, sites: Sites) -> None:
    """Shorten the loops of `FUNCTIONS` in modules that are there already and in those that are imported later."""
    changes: dict[str, Change] = {
        name: partial(_rewrite, names=frozenset(functions.split()), loops=loops, sites=sites)
        for name, functions in FUNCTIONS.items()
    }
    changes["ignite.engine.engine"] = partial(_without_interruptions, changes["ignite.engine.engine"])
    AfterImport(changes).install()
    know_loaders()


def _without_interruptions(change: Change, module: Any) -> None:
    """Ignite's loops are generators where a run may be interrupted, which none is here."""
    change(module)
    module.Engine.interrupt_resume_enabled = False


def _rewrite(module: Any, names: frozenset[str], loops: Loops, sites: Sites) -> None:
    """Replace the functions of these names in a module's classes and in the module itself."""
    file = getattr(module, "__file__", None)
    owners = list(_owners(module, names))
    if not owners or not isinstance(file, str) or not file.endswith(".py"):
        return
    module.__dict__[LOOPS] = loops
    with open(file, "rb") as stream:
        functions = rewritten_functions(stream.read(), file.rpartition("-packages/")[2], names, sites)
    for owner_name, function in functions:
        owner = module.__dict__.get(owner_name) if owner_name else module
        if (owner, function.name) in owners:
            _replace(module, owner, function, file)


def _owners(module: Any, names: frozenset[str]) -> Iterator[tuple[Any, str]]:
    """The module's own classes, and the module, with the function that they define."""
    own_classes = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    for owner in (module, *own_classes):
        for name in names:
            if inspect.isfunction(vars(owner).get(name)):
                yield owner, name


_FACTORY = "def make(__class__):\n    pass"
"""What gives a function the class that `super()` in it looks for."""


def _replace(module: Any, owner: Any, function: ast.FunctionDef, file: str) -> None:
    tree = ast.parse(_FACTORY)
    factory: Any = tree.body[0]
    result = ast.copy_location(ast.Return(ast.Name(function.name, ast.Load())), function)
    factory.body = [function, ast.fix_missing_locations(result)]
    made: dict[str, Any] = {}
    exec(compile(tree, file, "exec", dont_inherit=True), module.__dict__, made)
    new = made["make"](owner)
    new.__qualname__ = getattr(vars(owner)[function.name], "__qualname__", function.name)
    setattr(owner, function.name, new)
