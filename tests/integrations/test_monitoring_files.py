"""The dashboard and the rules speak of metrics that the service has, and promtool agrees with the rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INTEGRATIONS = ROOT / "integrations"
EXPORTED = set(re.findall(r'"(kilowait_[a-z_]+)"', (ROOT / "serve" / "api" / "metrics.py").read_text()))
RULES = yaml.safe_load((INTEGRATIONS / "prometheus" / "rules.yml").read_text())["groups"]
DASHBOARD = json.loads((INTEGRATIONS / "grafana" / "kilowait.json").read_text())


def expressions():
    yield from (rule["expr"] for group in RULES for rule in group["rules"])
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def test_every_metric_is_one_that_the_service_exports():
    assert len(EXPORTED) > 10
    asked = {name for text in expressions() for name in re.findall(r"(?<![\w:])kilowait_[a-z_]+", text)}
    assert {re.sub("_(total|bucket)$", "", name) for name in asked} <= EXPORTED


def test_the_dashboard_s_panels_overlap_nowhere_and_never_add_up_energies_of_different_provenance():
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    for text in expressions():
        assert "kilowait_energy_kwh_total" not in text or "provenance" in text


@pytest.mark.parametrize("words", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")])
def test_promtool_takes_the_rules(words):
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("no promtool on this machine; apt-get install prometheus to run this test")
    done = subprocess.run(
        [promtool, *words], cwd=INTEGRATIONS / "prometheus", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
