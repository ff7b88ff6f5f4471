"""A module that only defines things is told from a script."""

import pytest

from kilowait.program.definitions import only_defines

MODEL = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    pass\n"


@pytest.mark.parametrize(
    "more",
    [
        "",
        "from collections import namedtuple\nPoint = namedtuple('Point', 'x y')\nSIZES = {'tiny': 1}\n",
        "try:\n    import apex\nexcept ImportError:\n    apex = None\n",
        "if torch:\n    LARGE = True\nelse:\n    LARGE = False\n",
        "def build():\n    return Net()\n",
        '"""What it is."""\nimport logging\nlog = logging.getLogger(__name__)\n',
    ],
)
def test_a_module_that_only_defines_things(more):
    assert only_defines(MODEL + more)


@pytest.mark.parametrize(
    "more",
    [
        "net = Net()\n",
        "x = torch.ones(3) @ torch.ones(3)\n",
        "from torch import ones as o\nx = o(3).sum()\n",
        "def main(): ...\nmain()\n",
        "if __name__ == '__main__':\n    build = Net()\n",
        "for n in range(3):\n    pass\n",
        "with torch.no_grad():\n    pass\n",
        "def main(): ...\nx = main()\n",
    ],
)
def test_a_script_does_something(more):
    assert not only_defines(MODEL + more)


@pytest.mark.parametrize("text", ["", "import torch\n", "def f(:\n", "SIZE = 3\n"])
def test_what_defines_nothing_is_no_library(text):
    assert not only_defines(text)
