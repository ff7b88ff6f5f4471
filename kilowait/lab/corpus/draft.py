"""A program before it has a style: the family's code plus what this script adds to it, still in H and S terms."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kilowait.lab.corpus.family import Family, Hyperparameters, Value

SEEDS = (0, 1, 7, 13, 42, 123, 1234, 2024)
"""What a script may seed its random numbers with."""
_OPTIMIZER = re.compile(r"^S\.(\w+) = (?:torch\.)?optim\.\w+\(\s*S\.(\w+)\.parameters\(\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Additions that cost a little time; twins share them so that they do the same work."""

    clip: float | None = None
    schedule: str = "none"  # none, cosine, warmup or decay


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDraft:
    """Code fragments in H and S terms; `before` and `after` stand around the loop, in one scope with it."""

    title: str
    imports: tuple[str, ...]
    helpers: tuple[str, ...]
    definitions: str
    hyperparameters: Mapping[str, Value]
    seeding: str
    setup: str
    before: str
    step: str
    log: str
    after: str
    report: str
    finish: str


def choose_recipe(rng: random.Random, family: Family) -> Recipe:
    """Draw additions that fit the family: both need an optimiser over one module's parameters."""
    if not _OPTIMIZER.search(family.setup):
        return Recipe()
    clips = [None] if "clip_grad" in family.step else [None, None, 0.5, 1.0, 5.0]
    scheduled = "schedule" in family.setup or "param_groups" in family.step
    schedules = ["none"] if scheduled else ["none", "none", "cosine", "warmup", "decay"]
    return Recipe(clip=rng.choice(clips), schedule=rng.choice(schedules))


def draw_seed(rng: random.Random) -> int:
    """What the script seeds its random numbers with."""
    return rng.choice(SEEDS)


def assemble(
    family: Family, hyperparameters: Hyperparameters, recipe: Recipe, rng: random.Random, *, richness: int
) -> ProgramDraft:
    """The program of one script; `richness` from 0 (bare) to 4 says how many helpers it has.

    The seed is the first thing drawn from `rng`, also where the hyperparameters name one.
    """
    drawn_seed = draw_seed(rng)
    steps = int(hyperparameters["steps"])
    seeding = "torch.manual_seed(H.seed)"
    if "import random" in family.imports.splitlines():
        seeding = f"random.seed(H.seed)\n{seeding}"
    program = ProgramDraft(
        title=family.summary.rstrip(".").split("; ")[0],
        imports=tuple(line for line in family.imports.splitlines() if line),
        helpers=(),
        definitions=family.definitions.strip("\n"),
        hyperparameters={**hyperparameters, "seed": hyperparameters.get("seed", drawn_seed)},
        seeding=seeding,
        setup=family.setup.strip("\n"),
        before="",
        step=family.step.strip("\n"),
        log="",
        after="",
        report=family.report.strip("\n"),
        finish="",
    )
    program = _with_recipe(program, recipe, steps)
    program = _with_log(program, rng, steps, history="history" not in program.step and richness >= 2)
    additions = [_with_seed_helper, _with_parameter_count, _with_timing, _with_device_report]
    for addition in rng.sample(additions, k=min(richness, len(additions))):
        program = addition(program, rng)
    return _with_finish(program, rng)


def _with_recipe(program: ProgramDraft, recipe: Recipe, steps: int) -> ProgramDraft:
    optimizers = _OPTIMIZER.findall(program.setup)
    values: dict[str, Value] = {}
    setup, step = program.setup, program.step
    for optimizer, module in optimizers:
        call = re.compile(rf"^( *)S\.{optimizer}\.step\(\)$", re.MULTILINE)
        if recipe.clip is not None:
            values["clip"] = recipe.clip
            clip = rf"\1torch.nn.utils.clip_grad_norm_(S.{module}.parameters(), H.clip)\n\g<0>"
            step = call.sub(clip, step)
    if recipe.schedule != "none" and len(optimizers) == 1 and f"S.{optimizers[0][0]}.step()" in step:
        optimizer = optimizers[0][0]
        setup += f"\nS.scheduler = {_SCHEDULES[recipe.schedule].format(optimizer)}"
        step = re.sub(rf"^( *)S\.{optimizer}\.step\(\)$", r"\g<0>\n\1S.scheduler.step()", step, flags=re.MULTILINE)
        if recipe.schedule == "warmup":
            values["warmup"] = max(2, steps // 10)
    return replace(program, setup=setup, step=step, hyperparameters={**program.hyperparameters, **values})


_SCHEDULES = {
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR(S.{}, T_max=H.steps)",
    "decay": "torch.optim.lr_scheduler.ExponentialLR(S.{}, gamma=0.999)",
    "warmup": "torch.optim.lr_scheduler.LambdaLR(\n    S.{}, lambda count: min(1.0, (count + 1) / H.warmup)\n)",
}


def _with_log(program: ProgramDraft, rng: random.Random, steps: int, *, history: bool) -> ProgramDraft:
    value = "loss.item()" if "loss.backward()" in program.step else "float(loss)"
    every = max(1, steps // rng.choice([3, 4, 5, 6, 8, 10]))
    hyper = dict(program.hyperparameters)
    label = rng.choice(["loss", "loss", "train loss", "objective", "value"])
    prefix = rng.choice(["step {step}", "step {step:4d}", "[{step}/{H.steps}]", "iter {step}:", "{step:5d} |"])
    line = f'print(f"{prefix} {label} {{{value}:.4f}}")'
    if history:
        line = f"history.append({value})\n" + line.replace(value, "history[-1]")
    if rng.random() < 0.5:
        hyper["log_every"] = every
        test = rng.choice(["step % H.log_every == 0", "step % H.log_every == 0 or step == H.steps - 1"])
    else:
        parts = rng.choice([4, 5, 8])
        test = f"step % max(1, H.steps // {parts}) == 0"
    log = f"if {test}:\n" + "\n".join("    " + part for part in line.splitlines())
    before = "history = []" if history else ""
    after = 'print(f"mean of logged values: {sum(history) / len(history):.4f}")' if history else ""
    return replace(program, log=log, before=before, after=after, hyperparameters=hyper)


def _with_seed_helper(program: ProgramDraft, rng: random.Random) -> ProgramDraft:
    helper = 'def set_seed(seed):\n    """Make runs repeatable."""\n    random.seed(seed)\n    torch.manual_seed(seed)'
    imports = dict.fromkeys([*program.imports, "import random"])
    return replace(
        program,
        helpers=(*program.helpers, helper),
        seeding="set_seed(H.seed)",
        imports=tuple(imports),
    )


def _with_parameter_count(program: ProgramDraft, rng: random.Random) -> ProgramDraft:
    modules = list(dict.fromkeys(module for _, module in _OPTIMIZER.findall(program.setup)))
    if not modules:
        return program
    helper = (
        "def count_parameters(module):\n"
        '    """Number of trainable values in a module."""\n'
        "    return sum(p.numel() for p in module.parameters() if p.requires_grad)"
    )
    total = " + ".join(f"count_parameters(S.{module})" for module in modules)
    line = rng.choice(["trainable parameters: {%s:,}", "parameters: {%s}", "model size {%s / 1e6:.3f}M"]) % (
        total if len(modules) == 1 else f"({total})"
    )
    return replace(program, helpers=(*program.helpers, helper), before=_join(f'print(f"{line}")', program.before))


def _with_timing(program: ProgramDraft, rng: random.Random) -> ProgramDraft:
    wait = 'if device.type == "cuda":\n    torch.cuda.synchronize()'
    message = rng.choice(
        [
            "loop took {elapsed:.2f} s, {H.steps / elapsed:.1f} steps/s",
            "{1000 * elapsed / H.steps:.2f} ms a step",
            "time for all steps: {elapsed:.2f} s",
        ]
    )
    stop = f'elapsed = time.perf_counter() - started\nprint(f"{message}")'
    return replace(
        program,
        imports=tuple(dict.fromkeys([*program.imports, "import time"])),
        before=_join(program.before, "started = time.perf_counter()"),
        after=_join(wait, stop, program.after),
    )


def _with_device_report(program: ProgramDraft, rng: random.Random) -> ProgramDraft:
    helper = (
        "def describe(device):\n"
        '    """Where the run takes place, for the log."""\n'
        '    if device.type == "cuda":\n'
        "        return torch.cuda.get_device_name(device)\n"
        '    return f"CPU with {torch.get_num_threads()} threads"'
    )
    line = rng.choice(['print(f"running on {describe(device)}")', 'print("device:", describe(device))'])
    return replace(program, helpers=(*program.helpers, helper), before=_join(line, program.before))


def _with_finish(program: ProgramDraft, rng: random.Random) -> ProgramDraft:
    words = ["final result", "done, result", "finished: summary", "evaluation", "final metric"]
    return replace(program, finish=f'print(f"{rng.choice(words)} {{summary:.4f}}")')


def _join(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
