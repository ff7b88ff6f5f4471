"""No text of a size that is taken costs time that grows with its square: seconds of CPU, not by the clock."""

import time

import pytest

from kilowait.program.read import read_bytes
from kilowait.program.resources import read_request

pytestmark = pytest.mark.slow

BYTES = 700_000
PARAMETERS = 40_000
HOSTILE = {
    "names that are assigned once": "".join(f"a{n} = 1\n" for n in range(60_000)),
    "one program started often": "def main(" + ", ".join(f"p{n}" for n in range(PARAMETERS)).replace(", ", ",\n")
    + "): ...\n" + "import fire\n" + "fire.Fire(main)\n" * 20_000,
    "strings that name the file itself": "'main.py'\n" * 60_000,
    "options": "p.add_argument('--a', default=1)\n" * 20_000,
    "imports": "import a.b.c, d\n" * 40_000,
    "attempts at imports": "try:\n import a\nexcept ImportError: pass\n" * 15_000,
    "comments": "# torchrun --nproc_per_node 4 x.py\n" * 15_000,
    "no Python": "gpus ]" + "] = 4 gpus" * 9_000 + "\n" + "(gpus = 4\n" * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_takes_seconds_at_most(kind):
    text = HOSTILE[kind]
    assert 100_000 < len(text) < BYTES
    began_s = time.process_time()
    read_bytes("main.py", text.encode())
    read_request(text)
    assert time.process_time() - began_s < 25.0


def test_a_name_that_is_assigned_again_is_no_constant_and_one_assigned_before_is():
    text = "A = 1\nB = A\nC = 1\nC = 2\nC = 3\np.add_argument('-x', default=B)\np.add_argument('-y', default=C)\n"
    x, y = read_bytes("main.py", text.encode()).source.reached.options
    assert x.default == 1
    assert y.default not in (1, 2, 3)
