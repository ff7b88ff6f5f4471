"""The side of a dry run that the job's own interpreter executes: Python 3.9, the standard library, PyTorch, NumPy."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kilowait
from kilowait.predict.dryrun.child import bootstrap
from kilowait.predict.dryrun.child.worker_messages import DryRunRequest, receive_answer, send_request
from kilowait.predict.dryrun.dry_program import DryProgram

ROOT = Path(kilowait.__file__).parents[1]
SIDE = ROOT / "kilowait" / "predict" / "dryrun"
LOCKING_UP = ROOT / "kilowait" / "isolation"
PARENT_SIDE = {"dry_runner.py"}
ALLOWED = set(sys.stdlib_module_names) | {"torch", "numpy"}
NEWER = {  # what the standard library of Python 3.9 has not got
    "itertools": {"pairwise", "batched"},
    "enum": {"StrEnum", "verify", "member", "nonmember"},
    "typing": {"Self", "TypeAlias", "ParamSpec", "Never", "assert_never", "override", "NotRequired", "Unpack"},
    "functools": {"Placeholder"},
    "types": {"NoneType", "UnionType", "EllipsisType"},
    "contextlib": {"aclosing", "chdir"},
    "datetime": {"UTC"},
    "inspect": {"get_annotations"},
}
NEWER_MODULES = {"tomllib", "annotationlib", "compression"}


def child_modules() -> list[Path]:
    """Every module of the folder that is not the parent's, and what locks the child up."""
    return sorted(path for path in (*SIDE.rglob("*.py"), *LOCKING_UP.glob("*.py")) if path.name not in PARENT_SIDE)


def at_run_time(tree: ast.Module) -> list[ast.AST]:
    """The nodes that are evaluated: no annotations, and nothing that stands under TYPE_CHECKING."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        found.append(node)
        skipped = ("annotation", "returns")
        for name, value in ast.iter_fields(node):
            values = value if isinstance(value, list) else [value]
            todo += [part for part in values if isinstance(part, ast.AST) and name not in skipped]
    return found


@pytest.fixture(scope="module", params=child_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_it_is_python_3_9(module: Path) -> None:
    tree = ast.parse(module.read_text(), feature_version=(3, 9))
    assert not [n for n in ast.walk(tree) if type(n).__name__ in ("Match", "TryStar", "TypeAlias")]


def test_it_imports_the_standard_library_pytorch_and_itself(module: Path) -> None:
    strangers = []
    for node in at_run_time(ast.parse(module.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [str(node.module)]
            taken = {alias.name for alias in node.names}
            assert not taken & NEWER.get(str(node.module), set()), f"{taken} came after Python 3.9"
        for name in names:
            own = (ROOT / Path(*name.split("."))).with_suffix(".py"), ROOT / Path(*name.split(".")) / "__init__.py"
            is_own = any(path.exists() and path in child_modules() for path in own)
            if name.split(".")[0] in NEWER_MODULES or not (name.split(".")[0] in ALLOWED or is_own):
                strangers.append(name)
    assert strangers == []


def test_annotations_are_not_evaluated(module: Path) -> None:
    tree = ast.parse(module.read_text())
    annotated = [n for n in ast.walk(tree) if getattr(n, "annotation", None) or getattr(n, "returns", None)]
    if annotated:
        assert "from __future__ import annotations" in module.read_text()


def test_nothing_newer_is_called(module: Path) -> None:
    said = []
    for node in at_run_time(ast.parse(module.read_text())):
        keywords = {k.arg for k in node.keywords} if isinstance(node, ast.Call) else set()
        called = getattr(getattr(node, "func", None), "id", "")
        if called == "zip" and "strict" in keywords:
            said.append(f"line {node.lineno}: zip(strict=)")
        if called == "dataclass" and keywords & {"slots", "kw_only"}:
            said.append(f"line {node.lineno}: dataclass({keywords})")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = {getattr(side, "attr", getattr(side, "id", "")) for side in (node.left, node.right)}
            if sides & {"int", "str", "float", "list", "tuple", "dict", "Tensor", "None"} or any(
                isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right)
            ):
                said.append(f"line {node.lineno}: a union of types")
    assert said == []


def test_the_worker_starts_where_kilowait_is_not_installed(tmp_path: Path) -> None:
    """Under an interpreter that sees the standard library, PyTorch and what PyTorch needs, and no other package."""
    import torch

    packages = Path(torch.__file__).parents[1]
    needed = "torch torchgen functorch numpy numpy.libs sympy mpmath networkx jinja2 markupsafe filelock fsspec"
    for name in (*needed.split(), "typing_extensions.py"):
        if (packages / name).exists():
            (tmp_path / name).symlink_to(packages / name)
    program = DryProgram(
        files={"job.py": b"import torch, sys\n(torch.ones(4, 5) @ torch.ones(5, 6)).sum().item()\n"
               b"assert not [n for n in ('msgspec', 'psutil') if n in sys.modules], sorted(sys.modules)\n"
               b"assert 'kilowait.core' not in sys.modules\n"},
        entrypoint="job.py",
        content_hash="1",
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-S", bootstrap.__file__, "cpu", "unsafe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(tmp_path)},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert receive_answer(worker.stdout).failure == ""
        send_request(worker.stdin, DryRunRequest(program=program, target="cpu", budget_s=60))
        answer = json.loads(receive_answer(worker.stdout).data)
        worker.stdin.close()
    assert (answer["completeness"], answer.get("reason")) == ("whole", "")
    assert {op["op"] for op in answer["operations"]} >= {"aten.mm", "aten.sum"}
