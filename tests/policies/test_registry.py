"""The registry: every policy says what it takes, and policies of others come in."""

import argparse
import inspect
import json
import sys
from importlib.metadata import EntryPoint

import pytest

from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.lab.backtest.policy_options import add_policy_options, specs
from kilowait.policies import POLICIES, Parameter, Registry, Rule
from kilowait.policies.compiled_form import cost_of, form_of
from kilowait.policies.registry import own_rules
from kilowait.policies.simple import simple

JOBS = """\
job_id,submit_s,gpus,A_s,A_kwh
x,0,1,10,1
y,0,1,3,1
"""
MINE = '''
from kilowait.policies import Parameter, Place, Rule


def newest(*, most: int = 1):
    """The newest job first."""

    def newest(cluster):
        room, placed = cluster.room(), []
        for waiting in reversed(list(cluster.queue())):
            if len(placed) < most and room.take_first(waiting):
                placed.append(Place(job_id=waiting.job.job_id, gpu_type="A"))
        return placed

    return newest


RULE = Rule(
    name="newest",
    sentence="the newest job first",
    make=newest,
    parameters=(Parameter(name="most", sentence="starts at once", default=1, read=int),),
)
NUMBER = 3
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of a policy in the current folder, under a name of its own each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "jobs.csv").write_text(JOBS)
    name = f"policy_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    return name


@pytest.mark.parametrize("name", POLICIES)
def test_a_rule_declares_what_its_factory_takes(name):
    rule = POLICIES[name]
    signature = inspect.signature(rule.make).parameters
    assert list(rule.takes) == list(signature)
    for parameter in rule.parameters:
        known = signature[parameter.name].default
        assert parameter.default == known or known is None, parameter.name
        assert parameter.sentence
    assert rule.sentence


@pytest.mark.parametrize("name", POLICIES)
def test_a_rule_says_which_kernel_runs_it_and_what_it_costs(name):
    rule = POLICIES[name]
    policy = rule(**rule.settled({}))
    form = form_of(policy)
    assert (form and form.kernel) == rule.kernel
    assert cost_of(policy) == rule.cost


def test_options_give_way_to_their_alternatives():
    value = POLICIES["value"]
    assert value.settled({}) == {"kappa": 1e-5}
    assert value.settled({"kappa_relative": 2.0, "kappa": None}) == {"kappa_relative": 2.0}
    assert value.settled({"kappa": 3.0, "alpha": 1.0}) == {"kappa": 3.0}


def test_a_rule_or_a_function_of_a_file_is_a_policy(mine, capsys):
    words = ["simulate", "--jobs", "jobs.csv", "--gpus", "A=1", "--json", "--placements", "out.csv"]
    assert main([*words, "--policy", f"{mine}:RULE", "--most", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["policy"], result["parameters"]) == ("newest", {"most": 1})
    assert main([*words, "--policy", f"{mine}:newest"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == {"most": 1}
    with open("out.csv") as lines:
        assert lines.read().splitlines()[1:] == ["y,0.0,A", "x,3.0,A"]


def test_its_options_stand_in_the_help(mine, capsys):
    with pytest.raises(SystemExit):
        main(["simulate", "--policy", f"{mine}:RULE", "--help"])
    assert "--most" in capsys.readouterr().out


def test_the_backtest_takes_it_with_its_options(mine):
    words = ["--policies", f"simple,{mine}:RULE", "--most", "2"]
    parser = argparse.ArgumentParser()
    add_policy_options(parser, words)
    found = {spec.policy: spec.parameters for spec in specs(parser.parse_args(words), "calibrated")}
    assert found == {"simple": {}, f"{mine}:RULE": {"most": 2}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:RULE", "no module 'no_such_module' on the path or in .*; run from its folder"),
        ("{mine}:RULES", "has no 'RULES'; it has RULE"),
        ("{mine}:NUMBER", "must be a kilowait.policies.Rule or a function that returns a policy, got 3"),
        ("json:missing", "has no 'missing'; it has no rule"),
    ],
)
def test_a_wrong_name_is_told_with_its_module(mine, name, message):
    with pytest.raises(InputError, match=message):
        POLICIES[name.format(mine=mine)]


def test_a_module_that_cannot_be_imported_is_named(mine, tmp_path, capsys):
    (tmp_path / f"{mine}_broken.py").write_text("import no_such_thing\n")
    words = ["simulate", "--jobs", "jobs.csv", "--gpus", "A=1", "--policy", f"{mine}_broken:RULE"]
    assert main(words) == 2
    assert f"module '{mine}_broken' cannot be imported: ModuleNotFoundError" in capsys.readouterr().err


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="kilowait.policies")


def brought(monkeypatch, *points: EntryPoint) -> Registry:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    return Registry(own_rules())


def test_a_package_brings_policies_by_entry_points(mine, monkeypatch):
    monkeypatch.syspath_prepend(".")
    registry = brought(monkeypatch, point("newest", f"{mine}:RULE"))
    assert list(registry)[-1] == "newest"
    assert (registry["newest"].sentence, len(registry)) == ("the newest job first", len(POLICIES) + 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("easy", "json:loads", "the policy 'easy' .*json:loads.* has the name of a policy of kilowait; rename it"),
        ("gone", "no_such_module:RULE", "the policy 'gone' .* cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_package_that_is_wrong_is_named(monkeypatch, name, value, message):
    registry = brought(monkeypatch, point(name, value))
    with pytest.raises(InputError, match=message):
        list(registry)


def test_a_rule_can_be_made_without_a_file():
    rule = Rule(name="plain", sentence="as simple", make=simple, parameters=(Parameter(name="x", sentence="none"),))
    assert rule.takes == ("x",)
    assert rule.place > max(own.place for own in own_rules().values())
