"""The normaliser: canonical, idempotent, and the program still does what it did."""

import ast
import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import SourceError
from kilowait.lab.align.normalise import normalise, normalise_source
from kilowait.lab.corpus.generate import generate
from kilowait.lab.corpus.running import last_number, results
from kilowait.lab.corpus.twins import twins
from kilowait.program.source import source_from_bytes
from tests.support.examples import examples


def printed(text: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(text, "job.py", "exec"), {"__name__": "__main__"})
    return said.getvalue()


SCRIPT = '''"""A docstring."""
import math  # why not
from collections import OrderedDict as OD

BIG = 4096  # never read


def unused(a, b=2):
    """Calls itself, so that mere mention is not use."""
    return unused(b, a)


def area(radius, *, scale=1.0):
    if False:
        print("never")
    return math.pi * radius ** 2 * scale
    print("after the return")


class Shape:
    """Members are found by attribute."""

    sides = 4

    def __init__(self, width):
        self.width = width

    def size(self):
        return self.width * self.sides


total = 0
for step in range(3):
    total += area(step, scale=2.0)
shapes = OD((str(width), Shape(width).size()) for width in (1, 2))
print(f"{total:.3f}", list(shapes.items()), getattr(Shape(3), "width"))
'''


def test_what_is_said_and_never_done_goes_and_the_result_stays():
    text = normalise(SCRIPT)
    for gone in ("docstring", "why not", "4096", "unused", "never", "after the return", "total", "radius", "Shape"):
        assert gone not in text
    assert printed(text) == printed(SCRIPT)


def test_imports_attributes_keywords_members_and_strings_keep_their_names():
    text = normalise(SCRIPT)
    for kept in ("import math", "OrderedDict as OD", "self.width", "scale=2.0", "sides = 4", "def size(self)"):
        assert kept in text
    assert "getattr(Class(3), 'width')" in text


def test_a_renamed_reordered_commented_script_is_the_same_script():
    first = (
        "import torch\n\ndef build(n):\n    return helper(n) * 2\n\ndef helper(count):\n    return count + 1\n\n"
        "size = 3\nprint(build(size))\n"
    )
    second = (
        "import torch\n# the helper\ndef inc(x):\n    '''Adds.'''\n    return x + 1\n\ndef make(y):\n"
        "    return inc(y) * 2\n\nn_rows = 3  # rows\nprint(make(n_rows))\n"
    )
    assert normalise(first) == normalise(second)
    assert normalise(first, rename=False) != normalise(second, rename=False)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\ndef f():\n    global x\n    x = 2\nf()\nprint(x)\n",
        "def f():\n n = 1\n def g():\n  nonlocal n\n  n += 1\n  return n\n return g() + n\nprint(f())\n",
        "y = 5\nclass A:\n    y = y + 1\n    z = [y for _ in range(2)]\nprint(A.y, A.z, y)\n",
        "def f(a, b):\n    return a - b\nprint(f(b=1, a=3), f(**{'a': 5, 'b': 1}))\n",
        "def gen():\n    return\n    yield 1\nprint(list(gen()))\n",
        "value = 3\nmodel = value\nprint([value for value in range(model)], value)\n",
        "def outer(value_2):\n value = value_2\n return lambda model: model + value + value_2\nprint(outer(2)(3))\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    print(type(error))\n",
        "match [1, 2, 3]:\n    case [first, *rest]:\n        print(first, rest)\n",
        "if (count := 4) > 3:\n    print([last := i for i in range(count)], last)\n",
        "while False:\n    print(1)\nelse:\n    print(2)\n",
        "def f():\n    if True:\n        a = 1\n    else:\n        a = 2\n    return a\nprint(f())\n",
        "x = 2\nprint(eval('x + 1'), 'x' in globals())\n",
        "import sys\ndef hidden():\n    return 7\nprint(getattr(sys.modules[__name__], 'hidden', None) is None)\n",
        "x = 'f'\ndef f():\n    return 1\ndef g():\n    return f\nprint(g()(), x)\n",
        "def f(xs):\n for x in xs:\n  if x:\n   continue\n   print('no')\n  print(x)\nf([0, 1])\n",
        "print(sum(a * b for a in range(3) for b in range(a)))\n",
        "x = 1\ndel x\nx = 3\nprint(x)\n",
        "def f():\n try:\n  print(q)\n except NameError:\n  print('unbound')\n return\n q = 1\nf()\n",
        "def deco(f):\n    print('made')\n    return f\n@deco\ndef unused():\n    pass\n",
        "class Base:\n    def __init_subclass__(cls):\n        print('sub')\nclass Unused(Base):\n    pass\n",
        "a = b = 2\na, c = b, a\nprint(f'{a=} {c!r:>4}')\n",
    ],
)
def test_hard_scopes_run_to_the_same_output_and_a_second_time_changes_nothing(text):
    once = normalise(text)
    assert printed(once) == printed(text)
    assert normalise(once) == once


def test_what_other_files_import_stays():
    text = "LIMIT = 3\ndef helper(value):\n    return value\n__all__ = ['shown']\ndef shown():\n    return 1\n"
    kept = normalise(text, exported=("LIMIT", "helper"))
    assert "LIMIT = 3" in kept
    assert "def helper(" in kept
    assert "def shown()" in kept
    assert "helper" not in normalise(text)


def test_what_is_not_python_is_told_by_line_and_used_as_it_is():
    source = source_from_bytes("job.py", b"x = 1\nprint 'hi'\n")
    with pytest.raises(SourceError, match=r"job\.py:2: not Python"):
        normalise(source.text, name="job.py")
    kept = normalise_source(source)
    assert kept.source is source
    assert "read as it is" in kept.reason
    empty = normalise_source(source_from_bytes("job.py", b"# nothing\n"))
    assert empty.source.text == "# nothing\n"
    assert empty.reason


names = st.sampled_from(["a", "b", "value", "value_2", "number", "model", "x"])
expressions = st.recursive(
    st.one_of(names, st.integers(0, 9).map(str)),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=4,
)
simple = st.tuples(names, expressions).map(lambda t: f"{t[0]} = {t[1]}")
dead = st.sampled_from(
    ["if False:\n    a = 9\n    print(a)", "'''said'''", "unread = 4096", "def never():\n    return x"]
)
function = st.tuples(names, names, expressions, expressions).map(
    lambda t: f"def f_{t[0]}({t[1]}):\n    {t[0]} = {t[2]}\n    return {t[0]} + {t[1]}\n    print({t[3]})"
)
comprehension = st.tuples(names, names, expressions).map(lambda t: f"{t[0]} = sum({t[2]} for {t[1]} in range(3))")


@settings(max_examples=examples(60))
@given(st.lists(st.one_of(simple, dead, function, comprehension), max_size=8))
def test_any_mix_of_scopes_and_dead_code_keeps_every_value(statements):
    seed = "a = b = value = value_2 = number = model = x = 1"
    calls = [f"print({s.split('(')[0][4:]}(2))" for s in statements if s.startswith("def f_")]
    text = "\n".join([seed, *statements, *calls, "print(a, b, value, value_2, number, model, x)"])
    once = normalise(text)
    # A function may read a global of the same name before it is local: then both must fail alike.
    assert outcome(once) == outcome(text)
    assert normalise(once) == once


def outcome(text: str) -> str:
    try:
        return printed(text)
    except Exception as error:
        return type(error).__name__


@pytest.mark.torch
def test_normalised_corpus_scripts_and_twins_print_the_same_result():
    smallest = sorted(generate(33, 0), key=lambda script: script.seconds)[:1]
    texts = {s.name: s.text for s in smallest}
    texts |= {t.name: t.text for t in twins(33, 0, 33) if t.original_name in {s.name for s in smallest}}
    rewritten = {name: normalise(text) for name, text in texts.items()}
    expected = results(texts)
    assert all(last_number(value) == value for value in expected.values())
    assert results(rewritten) == expected


@pytest.mark.slow
def test_every_corpus_script_and_twin_stays_as_it_is_the_second_time():
    for text in [s.text for s in generate(20, 0)] + [t.text for t in twins(10, 1, 60)]:
        once = normalise(text)
        assert normalise(once) == once
        ast.parse(once)
