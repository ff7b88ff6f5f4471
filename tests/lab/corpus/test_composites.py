"""Composite tasks: several families' work in one script, whose members print what they print alone."""

import ast
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from kilowait.files.columns import CORPUS
from kilowait.files.parquet import read_table
from kilowait.lab.corpus.composites import KINDS, SERVING, Composite, composites
from kilowait.lab.corpus.generate import generate
from kilowait.lab.corpus.joining import joined
from kilowait.lab.corpus.render import names_bound
from kilowait.lab.corpus.running import results
from kilowait.lab.corpus.styles import STYLES
from pipelines import corpus as command

FIRST = '''"""The first. More."""

import math
import random
import torch.nn.functional as F


def halve(x):
    return x / 2


def scale(value, offset=1):
    return value * GAIN + offset


def shown(value):
    """Two functions of one name, with another body each."""
    return f"{scale(value):.1f} {value}"


GAIN = 3


if __name__ == "__main__":
    print(shown(2), halve(4))
'''
SECOND = '''"""The second."""

import math
from torch.nn import functional as F

GAIN = 5


def halve(x):
    return x / 2


class Scaled:
    scale = 7

    def times(self, gain):
        return gain * self.scale + GAIN


def shown(value):
    return "second"


# the work
total = Scaled().times(gain=1)
print(total, shown(1), halve(8))
'''


@pytest.fixture(scope="module")
def measured() -> list[Composite]:
    """As many as data/cpu_composites has labels of."""
    return list(composites(32, 0))


@pytest.fixture(scope="module")
def made(measured) -> list[Composite]:
    return measured[:15]


def test_composites_are_repeatable_and_fewer_are_the_first_of_more(made):
    again = [c.script.text for c in composites(4, 0)]
    assert again == [c.script.text for c in made[:4]]
    assert not {c.script.text for c in composites(4, 1)} & set(again)
    assert len({c.script.content_hash for c in made}) == 15


def test_kinds_and_styles_come_in_turn_and_families_are_dealt_evenly(made):
    assert Counter(c.script.family for c in made) == dict.fromkeys(KINDS, 5)
    assert Counter(c.script.style for c in made) == dict.fromkeys(STYLES, 3)
    for composite in made:
        names = [member.family.name for member in composite.members]
        assert len(set(names)) == len(names)
        assert composite.script.group == "composite:" + "+".join(names)
        train, serve = KINDS[composite.script.family]
        assert [member.family in SERVING for member in composite.members] == [False] * train + [True] * serve
    dealt = Counter(member.family.name for composite in made for member in composite.members)
    assert len(dealt) == 28  # 25 of 30 that train, and the 3 that serve
    assert max(count for name, count in dealt.items() if name not in {f.name for f in SERVING}) == 1


def test_the_last_member_prints_what_it_prints_alone(made):
    quick = sorted((c for c in made if len(c.members) == 2), key=lambda c: c.script.seconds)[:1]
    alone = {f"{c.script.name} alone": c.members[-1].text for c in quick}
    said = results({**alone, **{c.script.name: c.script.text for c in quick}})
    for composite in quick:
        name = composite.script.name
        assert re.fullmatch(r"-?\d+\.\d+", said[name]), said[name]
        assert said[name] == said[f"{name} alone"]


def test_the_measured_composites_are_still_generated_byte_for_byte(measured):
    labelled = set(pq.read_table("data/cpu_composites/labels.parquet")["content_hash"].to_pylist())
    assert {composite.script.content_hash for composite in measured} == labelled


def test_no_top_level_name_is_defined_twice(made):
    for composite in made:
        body = ast.parse(composite.script.text).body
        names = [name for node in body for name in names_bound(ast.unparse(node))]
        assert not [name for name, count in Counter(names).items() if count > 1], composite.script.name


def test_names_are_kept_apart_equal_helpers_once_and_attributes_and_keywords_alone():
    text = joined({"one": FIRST, "two": SECOND})
    assert text.startswith('"""Several tasks, one after the other:\n\n1. The first. More.\n2. The second.\n"""')
    assert text.count("def halve(x):") == 1
    assert "value * ONE_GAIN + offset" in text
    assert "gain * self.scale + TWO_GAIN" in text
    assert "def shown_one(value):" in text
    assert "def shown_two(value):" in text
    assert "import torch.nn.functional as F" in text
    assert "from torch.nn" not in text
    namespace: dict[str, object] = {"__name__": "__main__"}
    lines: list[str] = []
    exec(text, {**namespace, "print": lambda *said: lines.append(" ".join(map(str, said)))})
    assert lines == ["7.0 2 2.0", "12 second 4.0"]


def test_a_name_that_cannot_be_replaced_is_an_error():
    local = SECOND.replace("def times(self, gain):", "def times(self, gain, GAIN=3):")
    with pytest.raises(ValueError, match="two: GAIN is a local"):
        joined({"one": FIRST, "two": local})


def test_generated_scripts_of_every_style_can_be_joined():
    scripts = list(generate(33, 3))  # one of each family
    for style in STYLES:
        tree = ast.parse(joined({s.family: s.text for s in scripts if s.style == style}))
        assert isinstance(tree.body[-1], ast.If)


def test_the_command_writes_composites(tmp_path, capsys):
    assert command.main(["--out", str(tmp_path), "--composites", "3"]) == 0
    assert "3 scripts" in capsys.readouterr().out
    rows = read_table(tmp_path / "manifest.parquet", CORPUS).to_pylist()
    assert [row["family"] for row in rows] == list(KINDS)
    assert all(row["group"].startswith("composite:") for row in rows)
    assert {row["path"] for row in rows} == {path.name for path in tmp_path.glob("*.py")}
