"""Five ways to write down the same program: flat, functions, classes, configuration object, argparse."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import indent

from kilowait.lab.corpus.draft import ProgramDraft
from kilowait.lab.corpus.family import Value
from kilowait.lab.corpus.lexer import identifiers
from kilowait.lab.corpus.naming import Names

DEVICE = 'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")'


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a style needs to know: the program, its names, and which of the style's own variants to take."""

    program: ProgramDraft
    names: Names
    order: tuple[str, ...]  # hyperparameters in the order in which the script lists them
    variant: int

    def write(self, code: str, hyper: str, state: str) -> str:
        """A fragment of the program under this script's names."""
        return self.names.apply(code, hyper=hyper, state=state)

    def values(self) -> list[tuple[str, Value]]:
        """Hyperparameters as (name in this script, value)."""
        return [(self.names.hyper[key], self.program.hyperparameters[key]) for key in self.order]


def flat(layout: Layout) -> list[str]:
    """Constants on top, then one run of statements."""
    p = layout.program
    constants = _constants(layout)
    main = _upper(layout, _straight(p))
    first, second = ([constants], []) if layout.variant else ([], [constants])
    return [*first, *p.helpers, p.definitions, *second, main]


def functions(layout: Layout) -> list[str]:
    """Constants on top; build, train, evaluate and main pass the state along."""
    p = layout.program
    setup_names = [name for name in _assigned(p.setup) if name in _used(p.before + p.step + p.log + p.report)]
    train_names = [name for name in setup_names if name in _used(_join(p.before, p.step, p.after))]
    changed_names = [name for name in train_names if name in _assigned(p.step) and name in _used(p.report)]
    report_names = [name for name in setup_names if name in _used(p.report)]

    def listed(names: list[str]) -> str:
        return ", ".join(f"S.{name}" for name in names)

    def call(function: str, names: list[str], code: str) -> str:
        arguments = [f"S.{name}" for name in names] + (["device"] if _mentions(code, "device") else [])
        return f"{function}({', '.join(arguments)})"

    build, train, evaluate = (
        ("build", "train", "evaluate") if layout.variant else ("setup", "run_training", "final_check")
    )
    train_code = _join(p.before, _loop(p.step, p.log), p.after)
    parts = [
        _function(
            f"def {build}(device)", "Create everything the run needs.", _join(p.setup, f"return {listed(setup_names)}")
        ),
        _function(
            f"def {call(train, train_names, train_code)}",
            "Run all steps.",
            _join(train_code, f"return {listed(changed_names)}" if changed_names else ""),
        ),
        _function(
            f"def {call(evaluate, report_names, p.report)}",
            "One number for the whole run.",
            _join(p.report, "return summary", gap=0),
        ),
        _function(
            "def main()",
            "",
            _join(
                p.seeding,
                DEVICE,
                f"{listed(setup_names)} = {build}(device)",
                (f"{listed(changed_names)} = " if changed_names else "") + call(train, train_names, train_code),
                f"summary = {call(evaluate, report_names, p.report)}",
                p.finish,
                gap=0,
            ),
        ),
    ]
    return [
        _constants(layout),
        *p.helpers,
        p.definitions,
        *(_upper(layout, part) for part in parts),
        _guard("main()"),
    ]


def classes(layout: Layout) -> list[str]:
    """A trainer that holds hyperparameters and state as attributes."""
    p = layout.program
    values = layout.values()
    loop_names = {**layout.names.loop, "device": "self.device"}
    names = Names(
        hyper=layout.names.hyper, state=layout.names.state, loop=loop_names, everywhere=layout.names.everywhere
    )

    def write(code: str) -> str:
        return names.apply(code, hyper="self.{}", state="self.{}")

    build, step_name, fit, evaluate = (
        ("build", "train_step", "fit", "evaluate") if layout.variant else ("prepare", "run_step", "run", "summarize")
    )
    indexed = "step" if _mentions(p.step, "step") else ""
    signature = ", ".join(f"{name}={value!r}" for name, value in values)
    loop = _loop(f"loss = S.{step_name}({indexed})".replace("S.", "self."), p.log)
    trainer = ("Trainer", "Experiment")[layout.variant]
    seeding = p.seeding.replace("H.seed", f"self.{layout.names.hyper['seed']}")
    start = f"{seeding}\nself.{DEVICE}\nself.{build}()"
    if layout.variant:
        head = _function(
            f"def __init__(self, {signature})", "", _join(*(f"self.{n} = {n}" for n, _ in values), start, gap=0)
        )
        fields = ""
    else:
        fields = "\n".join(f"{name} = {value!r}" for name, value in values) + "\n\n"
        head = _function("def __init__(self)", "", start)
    methods = [
        head,
        write(_function(f"def {build}(self)", "Create data, model and optimizer.", p.setup)),
        write(
            _function(
                f"def {step_name}(self{', ' + indexed if indexed else ''})",
                "One iteration.",
                _join(p.step, "return loss", gap=0),
            )
        ),
        write(_function(f"def {fit}(self)", "All iterations.", _join(p.before, loop, p.after))),
        write(
            _function(
                f"def {evaluate}(self)", "A single number about the run.", _join(p.report, "return summary", gap=0)
            )
        ),
    ]
    body = fields + "\n\n".join(methods)
    main = _join(f"trainer = {trainer}()", f"trainer.{fit}()", f"summary = trainer.{evaluate}()", p.finish, gap=0)
    docstring = '    """Holds the model, the data and the loop."""\n\n'
    return [
        *p.helpers,
        p.definitions,
        f"class {trainer}:\n{docstring}{indent(body, '    ')}",
        _guard(layout.write(main, "{}", "{}")),
    ]


def config(layout: Layout) -> list[str]:
    """A dataclass of hyperparameters and a namespace of state."""
    p = layout.program
    cfg = ("cfg", "config")[layout.variant]
    fields = "\n".join(f"    {name}: {type(value).__name__} = {value!r}" for name, value in layout.values())
    record = f'@dataclass\nclass Config:\n    """All settings of the run."""\n\n{fields}'
    train_code = _join(p.before, _loop(p.step, p.log), p.after)

    def write(code: str) -> str:
        return layout.write(code, cfg + ".{}", "state.{}")

    def signature(name: str, code: str, *first_names: str) -> str:
        optional = {cfg: "H.", "device": "device"}
        used = [argument for argument, used_name in optional.items() if used_name in code]
        return f"{name}({', '.join([*first_names, *used])})"

    create = signature("create_state", p.setup)
    train, evaluate = signature("train", train_code, "state"), signature("evaluate", p.report, "state")
    main = _join(
        f"{cfg} = Config()", p.seeding, DEVICE, f"state = {create}", train, f"summary = {evaluate}", p.finish, gap=0
    )
    return [
        record,
        *p.helpers,
        p.definitions,
        write(
            _function(
                f"def {create}",
                "Data, model and optimizer.",
                _join("state = SimpleNamespace()", p.setup, "return state", gap=0),
            )
        ),
        write(_function(f"def {train}", "The training loop.", train_code)),
        write(_function(f"def {evaluate}", "Final figure.", _join(p.report, "return summary", gap=0))),
        write(_function("def main()", "", main)),
        _guard("main()"),
    ]


def arguments(layout: Layout) -> list[str]:
    """Command-line arguments with defaults; one function does the rest."""
    p = layout.program
    lines = [
        f'parser.add_argument("--{name.replace("_", "-")}", type={type(value).__name__}, default={value!r})'
        for name, value in layout.values()
    ]
    parse = _function(
        "def parse_args()",
        "Read the command line.",
        _join(
            f'parser = argparse.ArgumentParser(description="{p.title}")', *lines, "return parser.parse_args()", gap=0
        ),
    )
    main = layout.write(_function("def main(args)", "", _straight(p)), "args.{}", "{}")
    return [*p.helpers, p.definitions, parse, main, _guard("main(parse_args())")]


Style = Callable[[Layout], list[str]]
STYLES: Mapping[str, Style] = {
    "flat": flat,
    "functions": functions,
    "classes": classes,
    "config": config,
    "argparse": arguments,
}
"""How a script may be written; each style returns the blocks that two blank lines separate."""

STYLE_IMPORTS: Mapping[str, tuple[str, ...]] = {
    "config": ("from dataclasses import dataclass", "from types import SimpleNamespace"),
    "argparse": ("import argparse",),
}
"""What a style needs beyond the family's own imports."""


def _constants(layout: Layout) -> str:
    return "\n".join(f"{name.upper()} = {value!r}" for name, value in layout.values())


def _upper(layout: Layout, code: str) -> str:
    names = layout.names
    upper = {key: name.upper() for key, name in names.hyper.items()}
    upper_names = Names(hyper=upper, state=names.state, loop=names.loop, everywhere=names.everywhere)
    return upper_names.apply(code, hyper="{}", state="{}")


def _straight(p: ProgramDraft) -> str:
    """The whole run as one sequence of statements."""
    start, end = _join(p.seeding, DEVICE, gap=0), _join(p.report, p.finish, gap=0)
    return _join(start, p.setup, p.before, _loop(p.step, p.log), p.after, end)


def _loop(step: str, log: str) -> str:
    return f"for step in range(H.steps):\n{indent(_join(step, log, gap=0), '    ')}"


def _function(head: str, docstring: str, body: str) -> str:
    lines = ([f'"""{docstring}"""'] if docstring else []) + [body]
    return f"{head}:\n" + indent("\n".join(lines), "    ")


def _guard(call: str) -> str:
    return f'if __name__ == "__main__":\n{indent(call, "    ")}'


def _join(*parts: str, gap: int = 1) -> str:
    return ("\n" * (gap + 1)).join(part for part in parts if part)


def _used(code: str) -> list[str]:
    return identifiers(code)[1]


def _mentions(code: str, name: str) -> bool:
    return name in identifiers(code)[2]


def _assigned(code: str) -> list[str]:
    """State that `code` binds, in order."""
    bound = [
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "S"
    ]
    return list(dict.fromkeys(bound))
