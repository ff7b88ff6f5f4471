# ruff: noqa: E501 - the programs are written as people write them
"""What programs do before they train: pools of processes, long loops over data, modules that are thrown away."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

NET = "import os, time, torch\nnet = torch.nn.Linear(16, 4).cuda()\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
STEP = "opt.zero_grad(); net(torch.randn(8, 16, device='cuda')).sum().backward(); opt.step()\n"
BUSY = "def busy(x):\n    sum(range(400_000))\n    return [x]\n"


def run(runner: DryRunner, text: str) -> DryRun:
    return runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))


@pytest.mark.parametrize(
    "made",
    [
        "from multiprocessing import Pool\nwith Pool(4) as pool: made = list(pool.imap(busy, range(5000)))\n",
        "from multiprocessing import Pool\nwith Pool() as pool: made = pool.map(busy, range(5000))\n",
        "from concurrent.futures import ProcessPoolExecutor as Pool\n"
        "with Pool() as pool: made = list(pool.map(busy, range(5000)))\n",
    ],
)
def test_a_pool_works_here_and_its_last_items_are_alike(runner: DryRunner, made: str) -> None:
    found = run(runner, f"{NET}{BUSY}{made}assert made[:2] == [[0], [1]]\nfor _ in range(len(made)):\n    {STEP}")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 5000), found.reason
    assert "are taken to be alike" in " ".join(found.assumptions)


def test_a_short_pool_is_run_in_full(runner: DryRunner) -> None:
    text = "from multiprocessing import Pool\npool = Pool(2)\nassert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]\n"
    text += "assert pool.apply_async(abs, (-4,)).get() == 4 and pool.starmap(max, [(1, 2)]) == [2]\npool.close()\n"
    found = run(runner, f"{text}{NET}{STEP}")
    assert (found.completeness, found.assumptions) == (Completeness.WHOLE, ()), found.reason


@pytest.mark.parametrize("loop", ["rows = [busy(i) for i in range(4000)]\n",
                                  "rows = []\nfor i in range(4000):\n    rows.append(busy(i))\n"])  # fmt: skip
def test_a_long_loop_that_makes_data_is_shortened_and_said(runner: DryRunner, loop: str) -> None:
    found = run(runner, f"{NET}{BUSY}{loop}assert len(rows) == 4000\nfor row in rows:\n    {STEP}")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 4000), found.reason
    assert "items of data were made" in found.assumptions[0]


def test_lines_of_a_file_that_are_made_tensors_stay_as_many(runner: DryRunner) -> None:
    text = (
        f"{NET}{BUSY}open('words.txt', 'w').write('one two three\\n' * 3000)\nrows = []\n"
        "with open('words.txt') as file:\n    for _ in file:\n        busy(0); rows.append(torch.tensor([1, 2, 3]))\n"
        f"assert len(torch.cat(rows)) == 9000\nfor _ in range(len(rows)):\n    {STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 3000), found.reason


def test_a_vocabulary_is_made_of_all_words(runner: DryRunner) -> None:
    text = (
        f"{NET}words = list(map(str, range(40000))) * 10\nknown, order = {{}}, []\n"
        "for word in words:\n    if word not in known:\n        order.append(word)\n        known[word] = len(order)\n"
        f"assert len(order) == len(known) == 40000\n{STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.assumptions) == (Completeness.WHOLE, ()), found.reason


def test_parameters_that_are_gone_or_resized_before_the_first_step_do_not_count(runner: DryRunner) -> None:
    text = (
        "import torch\nfrom torch import nn\nnet = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)).cuda()\n"
        "larger = nn.Embedding(11, 4).cuda()\nnet[0].weight.data = larger.weight.data\ndel larger\n"
        "opt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "net(torch.zeros(3, dtype=torch.long, device='cuda')).sum().backward(); opt.step()\n"
    )
    assert run(runner, text).parameters == 11 * 4 + 4 * 2 + 2


def test_copies_of_layers_count_and_what_is_copied_but_not_learnt_does_not(runner: DryRunner) -> None:
    text = (
        "import copy, torch\nfrom torch import nn\nlayer = nn.TransformerEncoderLayer(8, 2, 16)\n"
        "net = nn.TransformerEncoder(layer, 3).cuda()\nsize = sum(p.numel() for p in layer.parameters())\ndel layer\n"
        "average = copy.deepcopy(net)\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "net(torch.randn(5, 2, 8, device='cuda')).sum().backward(); opt.step()\n"
    )
    a_layer = 4 * (8 * 8 + 8) + 2 * 8 * 16 + 16 + 8 + 4 * 8
    assert run(runner, text).parameters == 3 * a_layer


def test_a_shuffled_order_is_listed_at_once(runner: DryRunner) -> None:
    found = run(runner, f"{NET}order = torch.randperm(500000).tolist()\nassert len(order) == 500000\n{STEP}")
    assert found.completeness == Completeness.WHOLE


def test_an_assertion_that_a_launcher_set_the_rank_holds(runner: DryRunner) -> None:
    text = (
        "import os\nassert 'LOCAL_RANK' in os.environ, 'start it with torchrun'\nassert os.environ.get('RANK')\n"
        f"assert int(os.environ['LOCAL_RANK']) == 0\nalone = 'LOCAL_RANK' not in os.environ\nassert alone\n{NET}{STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 1), found.reason
    assert any("a world of one process" in line for line in found.assumptions)


def test_texts_of_one_data_set_share_their_words(runner: DryRunner) -> None:
    """The text that is missing has every word of those beside it, and made ones up to its vocabulary."""
    text = """
words = {}
for name in ("train", "valid"):
    with open(f"data/wikitext-2/{name}.txt") as lines:
        for line in lines:
            words.update(dict.fromkeys(line.split()))
torch.nn.Embedding(len(words), 10)(torch.zeros(3, dtype=torch.long))
"""
    files = {"job.py": (NET + text).encode(), "data/wikitext-2/valid.txt": b"a few <unk> words that no code makes up"}
    found = runner.run_program(DryProgram(files=files, entrypoint="job.py", content_hash="1"))
    assert found.parameters == 33_277 * 10 + 16 * 4 + 4


def test_modules_are_copied_after_tensors_of_numbers_were_made(runner: DryRunner) -> None:
    """A copy that took the mode of all tensors with it gave back twice what that one holds."""
    text = """
made = [torch.tensor([3] * (1 + i * 37 % 300)) for i in range(400)]
for _ in range(3):
    net = torch.nn.Transformer(d_model=20, nhead=2, dim_feedforward=20)
    net.decoder = torch.nn.Linear(20, 20)
net.decoder(torch.zeros(3, 20))
"""
    assert run(runner, NET + text).completeness == Completeness.WHOLE


def test_an_archive_that_would_be_fetched_is_taken_out_once(runner: DryRunner) -> None:
    text = """
import tarfile, urllib.request
for _ in range(2):
    if not os.path.exists("made/images"):
        os.makedirs("made")
        with open("made/images.tgz", "wb") as file:
            file.write(urllib.request.urlopen("http://example.org/images.tgz").read())
        with tarfile.open("made/images.tgz") as archive:
            for member in archive:
                archive.extract(member, "made")
        os.remove("made/images.tgz")
"""
    found = run(runner, NET + text + STEP)
    assert (found.completeness, found.steps) == (Completeness.GUESSED, 1)


def test_tensors_of_one_number_in_a_list_become_a_tensor(runner: DryRunner) -> None:
    text = "y = net(torch.randn(4, 16, device='cuda')).sum(1)\nz = torch.tensor([[v, 2.0] for v in y])\nassert z.shape == (4, 2)\n"
    assert run(runner, NET + text + STEP).completeness == Completeness.WHOLE


def test_a_rank_that_is_made_a_number_without_a_default_is_there(runner: DryRunner) -> None:
    text = "if int(os.environ.get('LOCAL_RANK')) != 0 or int(os.environ.get('RANK', -1)) != -1:\n    raise OSError\n"
    found = run(runner, NET + text + STEP)
    assert found.completeness == Completeness.WHOLE
    assert any("world of one" in line for line in found.assumptions)
