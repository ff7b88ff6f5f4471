"""`%%predict` in a real IPython shell."""

import base64
import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

from kilowait.advise.advice_text import advice_table
from kilowait.advise.in_notebooks import cell_magic
from tests.support.advised import advised, on_type

EARLIER = """\
%matplotlib inline
!pip install torch
import math
from math import (
    sqrt)
"""
WORK = """\
limit = 3
def double(x): return 2 * x
class Net:
    def cuda(self): return self
    def fit(self): raise AssertionError("another cell's work")
net = Net()
net.cuda()
for _ in range(limit):
    pass
net.fit()
print("trained")
"""


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A shell with the extension loaded and the questions that its cells asked."""
    monkeypatch.chdir(tmp_path)
    shell, asked = InteractiveShell(), []
    types = {"A100": on_type(600, 300, 1200, provenance="modelled <b>"), "A6000": on_type(1200, 600, 2400)}

    def answered(question, _):
        asked.append(question)
        return advised(types, assumptions=("<script>x</script>",))

    monkeypatch.setattr(cell_magic, "advice_of", answered)
    shell.run_line_magic("load_ext", "kilowait")
    yield shell, asked
    shell.history_manager.end_session()
    shell.reset()


def run(shell, *cells):
    """What the last of the cells evaluates to."""
    for cell in cells:
        found = shell.run_cell(cell, store_history=True)
    assert found.success
    return found.result


def test_a_cell_is_predicted_with_what_it_needs_of_those_before_it_and_not_run(shell):
    shell, asked = shell
    run(shell, EARLIER.replace("!pip install torch\n", "").replace("%matplotlib inline\n", "%pwd\n"))
    shell.history_manager.store_inputs(2, EARLIER)
    shell.history_manager.store_inputs(3, WORK)
    result = run(
        shell,
        "%%predict --devices H100,A100 --gpus 2 -- --epochs 3\nfor _ in range(limit):\n    double(sqrt(4))\nran = True",
    )
    (question,) = asked
    assert (question.gpus, question.gpu_types) == (2, ("H100", "A100"))
    assert question.reading.source.arguments == ("--epochs", "3")
    code = next(iter(question.reading.source.files.values())).decode()
    space = {"__name__": "__main__"}
    exec(compile(code, "cell", "exec"), space)  # what is predicted runs by itself
    assert (space["ran"], space["net"].cuda()) == (True, space["net"])
    assert "print" not in code
    assert code.count("for ") == 1
    assert "ran" not in shell.user_ns
    assert repr(result) == advice_table(result.advice)


def test_a_cell_alone_and_a_file(shell, tmp_path):
    shell, asked = shell
    run(shell, "a = 1", "%%predict --alone\nb = 2")
    (tmp_path / "train.py").write_text("c = 3\n")
    run(shell, "%predict train.py")
    codes = [next(iter(question.reading.source.files.values())).decode().strip() for question in asked]
    assert codes == ["b = 2", "c = 3"]


def test_a_cell_that_was_only_predicted_belongs_to_none_after_it(shell):
    shell, asked = shell
    run(shell, "%%predict\na = 1", "%%predict\nb = 2")
    assert next(iter(asked[-1].reading.source.files.values())).decode().strip() == "b = 2"


def test_the_table_is_html_in_which_nothing_of_the_program_acts(shell):
    html = run(shell[0], "%%predict\npass")._repr_html_()
    assert "<script>" not in html
    assert "modelled &lt;b&gt;" in html
    assert re.findall(r">(10 min|20 min|A100|A6000)<", html) == ["A100", "10 min", "A6000", "20 min"]
    picture = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1]).decode()
    assert picture.count("<circle") == picture.count("<line") == 2


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%predict none.py", "none.py"),
        ("%predict it's.py", "No closing quotation"),
        ("%predict --epochs 3", "%predict"),
        ("%%predict --devices A1000000\npass", "unknown GPU type"),
        ("%%predict\nif True", "SyntaxError"),
    ],
)
def test_what_goes_wrong_is_said_below_the_cell(shell, cell, said, capsys):
    assert run(shell[0], cell) is None
    err = capsys.readouterr().err
    assert err.startswith("kilowait: ")
    assert said in err or "syntax" in err.lower()
