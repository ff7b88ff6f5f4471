"""What `import kilowait` gives: from a process of its own, since import order is what matters."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kilowait
from kilowait.core.errors import InputError
from kilowait.policies import POLICIES, Place
from kilowait.policies.simple import simple

JOBS = """\
job_id,submit_s,gpus,A_s,A_kwh,B_s,B_kwh
x,0,1,10,1,20,0.5
y,0,1,10,1,20,0.5
"""
PUBLIC = ["POLICIES", "Client", "Job", "Predictor", "Prediction", "Submission", "__version__", "errors"]
HEAVY = {"torch", "ray", "numba", "numpy", "scipy", "transformers", "requests", "pandas"}


CHECKER = """\
[mypy]
strict = True
[mypy-torch.*,ray.*,transformers.*,numba.*,sqlalchemy.*,sklearn.*,scipy.*,matplotlib.*,pyarrow.*]
follow_imports = skip
[mypy-kilowait.*]
ignore_errors = True
"""
"""A strict reader's own settings; what heavy libraries declare takes a minute to read and is nobody's business here."""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def jobs(tmp_path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text(JOBS)
    return path


def test_the_public_names():
    assert set(kilowait.__all__) == {*PUBLIC, "predict", "progress", "simulate"}
    assert dir(kilowait) == sorted(kilowait.__all__)
    assert (kilowait.POLICIES, kilowait.errors.InputError) == (POLICIES, InputError)
    with pytest.raises(AttributeError, match="no attribute 'predictt'; public are POLICIES"):
        _ = kilowait.predictt


def test_the_stub_declares_the_same_names():
    stub = ast.parse((Path(kilowait.__file__).parent / "__init__.pyi").read_text())
    imported = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(kilowait.__all__)


def test_importing_it_loads_nothing_heavy():
    light = "import sys, kilowait; kilowait.__version__, kilowait.errors, kilowait.Job"
    assert python(f"{light}; print({HEAVY!r} & set(sys.modules))") == "set()"


@pytest.mark.parametrize(
    "imports",
    [
        "import kilowait",
        "import kilowait; from kilowait.predict.dry_runs import DryRuns; from kilowait.simulate.loop import simulate",
        "from kilowait.predict.dry_runs import DryRuns; import kilowait.simulate.loop as loop; import kilowait",
        "import kilowait; kilowait.predict, kilowait.simulate; import kilowait.predict.dry_runs as runs; runs.BUDGET_S",
        "from kilowait import predict, simulate; import kilowait; assert predict is kilowait.predict",
    ],
)
def test_the_functions_and_the_packages_are_there_in_any_order_of_imports(imports, jobs):
    code = (
        f"{imports}\n"
        "try:\n    kilowait.predict('/no/such/train.py')\n"
        "except kilowait.errors.SourceError as error:\n    print(error)\n"
        f"print(kilowait.simulate({str(jobs)!r}, 'A=1,B=1', 'simple').scores.makespan_s)\n"
        "from kilowait.simulate.loop import simulate\nfrom kilowait.predict.dry_runs import BUDGET_S\n"
        "import kilowait.simulate.scores\nprint(kilowait.simulate.scores.score.__name__)"
    )
    first, *rest = python(code).splitlines()
    assert "/no/such/train.py" in first
    assert rest == ["20.0", "score"]


def test_its_signatures_are_those_of_the_functions():
    assert {"arguments", "gpus", "devices"} <= set(inspect.signature(kilowait.predict).parameters)
    assert list(inspect.signature(kilowait.simulate).parameters)[:3] == ["jobs", "gpus", "policy"]


@pytest.mark.slow
def test_a_type_checker_sees_functions_and_records(tmp_path):
    program = tmp_path / "uses.py"
    program.write_text(
        "import kilowait\n"
        "from kilowait.predict.predictor import Predictor\n"
        "reveal_type(kilowait.predict('train.py')['A100'].runtime_s)\n"
        "reveal_type(kilowait.simulate('jobs.csv', 'A=1').scores.total_wait_s)\n"
        "reveal_type(kilowait.POLICIES['value'])\n"
        "kilowait.predict(3)\n"
    )
    settings = tmp_path / "mypy.ini"
    settings.write_text(CHECKER)
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--no-incremental", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.count('Revealed type is "float"') + done.stdout.count('Revealed type is "builtins.float"') == 2
    assert "kilowait.policies.rule.Rule" in done.stdout
    assert 'Argument 1 to "predict" has incompatible type "int"' in done.stdout
    assert (Path(kilowait.__file__).parent / "py.typed").exists()


class TestSimulate:
    def test_a_file_under_a_policy_by_name(self, jobs):
        found = kilowait.simulate(jobs, {"A": 1, "B": [1]}, "value", kappa=0.0)
        # 1 / 10 on A and 1 / 20 on B: x on A, y on B
        assert [(p.job_id, p.gpu_type, p.start_s) for p in found.placements] == [("x", "A", 0.0), ("y", "B", 0.0)]
        assert (found.scores.energy_kwh, found.gpus) == (1.5, {"A": 1, "B": 1})
        assert found.parameters == {"kappa": 0.0}

    def test_defaults_are_the_commands(self, jobs):
        assert kilowait.simulate(jobs, "A=1,B=1", "value_aging").parameters == {"kappa": 1e-5, "limit_s": 86400.0}
        assert kilowait.simulate(jobs, "A=1", kilowait.POLICIES["value"], kappa_relative=1.0).parameters == {
            "kappa_relative": 1.0
        }

    def test_submissions_and_a_policy_of_ones_own(self):
        runs = {"A": kilowait.Prediction(runtime_s=5, energy_kwh=1)}
        submission = kilowait.Submission(job=kilowait.Job(job_id="x", submit_s=0), truth=runs, seen=runs)

        def last_first(cluster):
            free = cluster.room()
            waiting = [w for w in cluster.queue() if free.take_first(w)]
            return [Place(job_id=w.job.job_id, gpu_type="A") for w in reversed(waiting)]

        found = kilowait.simulate([submission], {"A": 1}, last_first)
        assert (found.scores.makespan_s, found.scores.policy) == (5.0, "last_first")

    @pytest.mark.parametrize(
        ("policy", "parameters", "message"),
        [
            ("best", {}, "unknown policy 'best'; choose from simple, greedy"),
            ("value", {"cappa": 1}, "value has no parameter 'cappa'; it has kappa, kappa_relative"),
            ("value", {"kappa": -1}, "kappa must be finite and >= 0"),
            (simple(), {"kappa": 1}, "kappa: a policy that is made already takes no parameters"),
        ],
    )
    def test_what_is_wrong_is_named(self, jobs, policy, parameters, message):
        with pytest.raises(InputError, match=message):
            kilowait.simulate(jobs, "A=1", policy, **parameters)

    @pytest.mark.parametrize("gpus", [{"A": 0}, {"A": []}, {"A": [2, 0]}])
    def test_a_wrong_cluster_is_named(self, jobs, gpus):
        with pytest.raises(InputError, match="gpus: A: must be GPUs >= 1"):
            kilowait.simulate(jobs, gpus)
