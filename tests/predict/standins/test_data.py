# ruff: noqa: E501 - the programs are written as people write them
"""Data that is not there: how large it is taken to be, what the answer says of it, and what is not stood in for."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

NET = "import torch\nnet = torch.nn.Linear(16, 4).cuda()\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
STEP = "opt.zero_grad(); net(torch.randn(8, 16, device='cuda')).sum().backward(); opt.step()\n"


def run(runner: DryRunner, text: str, **assumed: str) -> DryRun:
    named = {name.replace("__", "/").replace("_dot_", "."): size for name, size in assumed.items()}
    program = DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1", assumed=named)
    return runner.run_program(program)


def test_a_token_file_has_the_bytes_that_were_given_and_takes_no_memory(runner: DryRunner) -> None:
    text = (
        f"{NET}import numpy as np, resource\ntokens = np.memmap('data/train.bin', dtype=np.uint16, mode='r')\n"
        f"assert len(tokens) == 300_000_000_000, len(tokens)\nx = torch.from_numpy(tokens[5:69].astype(np.int64))\n"
        f"assert x.shape == (64,)\nfor _ in range(len(tokens) // 1_000_000_000):\n    {STEP}"
    )
    found = run(runner, text, data__train_dot_bin="600GB")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 300)
    assert found.assumptions == ("data/train.bin has 300,000,000,000 numbers (uint16) (given: 600GB)",)
    assert found.assumed_how == ("given",)


def test_a_size_that_nobody_knows_is_a_default_that_is_said(runner: DryRunner) -> None:
    text = f"{NET}import numpy as np\nt = np.memmap('d/tokens.bin', dtype=np.uint16)\nfor _ in range(len(t) // 1_000_000):\n    {STEP}"
    found = run(runner, text)
    assert found.completeness == Completeness.GUESSED
    assert found.assumed_how == ("default",)
    assert "--assume" in found.assumptions[0]
    assert found.steps == 10


def test_a_published_file_is_as_large_as_published(runner: DryRunner) -> None:
    """nanoGPT's readme: 1,003,854 tokens of 65 characters."""
    text = (
        f"{NET}import numpy as np, os, pickle\npath = 'data/shakespeare_char/train.bin'\nassert os.path.exists(path)\n"
        "assert len(np.memmap(path, dtype=np.uint16)) == 1_003_854\n"
        "with open('data/shakespeare_char/meta.pkl', 'rb') as f:\n    assert pickle.load(f)['vocab_size'] == 65\n"
        f"for _ in range(3):\n    {STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps, set(found.assumed_how)) == (Completeness.WHOLE, 3, {"catalogue"})


def test_a_text_is_read_whole_or_by_lines(runner: DryRunner) -> None:
    """36,718 lines and 2,088,628 words with their ends, of 33,278: Merity et al. 2016 and PyTorch's example."""
    text = (
        f"{NET}words, count = {{}}, 0\nwith open('data/wikitext-2/train.txt', encoding='utf8') as f:\n    for line in f:\n"
        "        for word in line.split() + ['<eos>']:\n            words.setdefault(word, len(words)); count += 1\n"
        "assert (len(words), count) == (33278, 2088628), (len(words), count)\n"
        "text = open('corpus.txt').read()\nassert len(text) == 3_000_000 and len(set(text)) == 65, len(set(text))\n"
        f"for _ in range(3):\n    {STEP}"
    )
    found = run(runner, text, corpus_dot_txt="3MB")
    assert (found.reason, found.steps) == ("", 3)


def test_the_texts_of_one_set_share_their_words(runner: DryRunner) -> None:
    """The Penn Treebank as language models read it: 9,999 words and the end of a line, 887,521 + 42,068 in training."""
    text = (
        f"{NET}words, count = {{}}, []\nfor part in ('train', 'valid', 'test'):\n    count.append(0)\n"
        "    for line in open(f'data/ptb.{part}.txt'):\n        for word in line.split() + ['<eos>']:\n"
        "            words.setdefault(word, len(words)); count[-1] += 1\n"
        "assert (len(words), *count) == (10_000, 929_589, 73_760, 82_430), (len(words), count)\n"
        f"for _ in range(3):\n    {STEP}"
    )
    assert run(runner, text).steps == 3


def test_fsspec_gives_a_file_elsewhere_and_no_checkpoint_of_its_own(runner: DryRunner) -> None:
    text = (
        f"{NET}import fsspec\nurl = 'https://example.org/tinyshakespeare/input.txt'\n"
        "with fsspec.open(url, 'rb') as f:\n    text = f.read().decode()\n"
        "assert (len(text), len(set(text))) == (1_115_394, 65)\n"
        "try:\n    fsspec.open('snapshot.pt').open()\n    raise AssertionError\nexcept FileNotFoundError:\n    pass\n"
        f"for _ in range(3):\n    {STEP}"
    )
    assert run(runner, text).completeness == Completeness.WHOLE


@pytest.mark.parametrize("name", ["config.yaml", "train_config.json", "model.py", "settings.ini", "vocab.unknown"])
def test_what_is_not_data_is_missing_as_in_truth(runner: DryRunner, name: str) -> None:
    found = run(runner, f"{NET}{STEP}open('{name}')\n")
    assert found.completeness == Completeness.PARTIAL
    assert name in found.reason
    assert found.assumptions == ()


def test_what_the_program_writes_is_what_it_reads(runner: DryRunner) -> None:
    text = (
        "import torch, os\nopen('train.txt', 'w').write('a b c')\nassert open('train.txt').read() == 'a b c'\n"
        "net = torch.nn.Linear(16, 4).cuda()\ntorch.save({'net': net.state_dict(), 'epoch': 3}, 'best.pt')\n"
        "assert os.path.exists('best.pt')\nloaded = torch.load('best.pt')\nassert loaded['epoch'] == 3\n"
        "net.load_state_dict(loaded['net'])\nnet(torch.randn(2, 16, device='cuda'))\n"
    )
    found = run(runner, text)
    assert (found.completeness, found.assumptions) == (Completeness.WHOLE, ())


def test_an_empty_folder_of_the_program_is_there_when_it_writes(runner: DryRunner) -> None:
    found = run(runner, f"{NET}for _ in range(3):\n    {STEP}    open('results/last.png', 'wb').write(b'0')\n")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 3)
    assert found.assumptions == ("the folder results is there, which the program writes to",)
    assert run(runner, f"{NET}{STEP}open('/results/last.png', 'wb')\n").completeness == Completeness.PARTIAL


def test_a_buffer_larger_than_the_memory_here_is_filled_and_sampled(runner: DryRunner) -> None:
    """A million frames of 4 x 84 x 84, as a replay buffer holds them: 28 GB."""
    text = (
        f"{NET}import numpy as np\nseen = np.zeros((1_000_000, 1, 4, 84, 84), dtype=np.uint8)\n"
        "seen[7] = np.ones((1, 4, 84, 84), np.uint8)\n"
        "x = torch.from_numpy(seen[np.random.randint(0, 1000, size=8), 0]).float().cuda()\n"
        f"assert x.shape == (8, 4, 84, 84) and np.empty(10).shape == (10,)\n{STEP}"
    )
    assert (found := run(runner, text)).completeness == Completeness.WHOLE, found.reason


def test_a_table_that_numpy_draws_and_sparse_gradients_of_it(runner: DryRunner) -> None:
    """320 MB, which numpy's own code fills as one piece of memory; as recommendation models make their tables."""
    text = (
        "import numpy as np, torch\nbag = torch.nn.EmbeddingBag(10_000_000, 4, mode='sum', sparse=True)\n"
        "drawn = np.random.uniform(-1, 1, size=(10_000_000, 4))\n"
        "assert drawn.strides == (32, 8) and drawn[0, 0] != drawn[1, 0]\n"
        "bag.weight.data = torch.tensor(drawn.astype(np.float32), requires_grad=True)\n"
        "opt = torch.optim.SGD(bag.parameters(), lr=0.1)\nfor _ in range(5):\n    opt.zero_grad()\n"
        "    bag(torch.tensor([1, 2, 4]), torch.tensor([0, 2])).sum().backward()\n    opt.step()\n"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 5), found.reason


def test_a_checkpoint_fits_what_it_is_loaded_into(runner: DryRunner) -> None:
    text = (
        f"{NET}state = torch.load('weights/resume.pth', map_location='cpu')\nnet.load_state_dict(state['model'])\n"
        f"opt.load_state_dict(state['optimizer'])\nfor epoch in range(state['epoch'], 4):\n    {STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 4)
    assert found.assumptions == ("weights/resume.pth is a checkpoint that fits what it is loaded into",)
    assert found.assumed_how == ("modelled",)


def test_a_shape_that_the_program_says_is_no_assumption(runner: DryRunner) -> None:
    text = (
        f"{NET}import numpy as np\nx = np.memmap('embeddings.dat', dtype=np.float32, mode='r', shape=(640, 16))\n"
        f"assert x.shape == (640, 16)\nfor _ in range(len(x) // 64):\n    {STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps, found.assumptions) == (Completeness.WHOLE, 10, ())


def test_a_figure_that_nobody_compared_with_its_source_is_said_to_be_so(runner: DryRunner) -> None:
    text = (
        f"{NET}data = open('data/text8').read()\nassert set(data) and len(data) > 1000\nfor _ in range(3):\n    {STEP}"
    )
    found = run(runner, text)
    assert found.assumed_how == ("modelled",)
    assert found.assumptions[0].startswith("data/text8 has 100,000,000 letters")
    assert found.assumptions[0].endswith("(catalogue, not checked)")


def test_rows_of_text_have_several_lengths_with_the_given_mean(runner: DryRunner) -> None:
    """A file of records takes 500 letters for a text of which nothing is known."""
    text = (
        f"{NET}import json\nrows = [json.loads(line) for line in open('data/train.jsonl')]\n"
        "lengths = [len(row['text']) for row in rows]\nassert len(rows) == 6400 and len(set(lengths)) == 8\n"
        "assert abs(sum(lengths) / len(lengths) - 500) < 5, sum(lengths) / len(lengths)\n"
        "assert 2.0 < max(lengths[:8]) / 500 < 2.4 and lengths[:8] == lengths[8:16]\n"
        f"for _ in range(3):\n    {STEP}"
    )
    found = run(runner, text, data__train_dot_jsonl="6400 rows")
    assert (found.reason, found.steps) == ("", 3)


def test_tensors_have_the_shape_that_was_given(runner: DryRunner) -> None:
    text = (
        f"{NET}from torch.utils.data import DataLoader, TensorDataset\nx = torch.load('train.pt')\n"
        f"assert x.shape == (640, 16)\nfor (batch,) in DataLoader(TensorDataset(x), batch_size=32):\n"
        "    opt.zero_grad(); net(batch.cuda()).sum().backward(); opt.step()\n"
    )
    found = run(runner, text, train_dot_pt="640x16")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 20)


def test_a_table_has_the_rows_that_were_given(runner: DryRunner) -> None:
    pytest.importorskip("pandas")
    text = (
        f"{NET}import pandas as pd\ndf = pd.read_csv('train.csv')\nassert len(df) == 12_800\ny = df['label'].values\n"
        f"for _ in range(len(df) // 64):\n    {STEP}"
    )
    found = run(runner, text, train_dot_csv="12800 rows")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 200)


def test_a_folder_of_images_is_listed_and_opened(runner: DryRunner) -> None:
    """Oxford-IIIT Pet has 3,680 + 3,669 images of 37 breeds (Parkhi et al. 2012)."""
    pytest.importorskip("PIL")
    text = (
        "import torch, os, re\nfrom PIL import Image\nnames = [n for n in os.listdir('/data/pets') if n.endswith('.jpg')]\n"
        "assert len(names) == 7349\nassert len({re.match(r'(.*)_[0-9]+.jpg', n).group(1) for n in names}) == 37\n"
        "class Pets(torch.utils.data.Dataset):\n    def __len__(self): return len(names)\n"
        "    def __getitem__(self, i):\n        image = Image.open(os.path.join('/data/pets', names[i])).convert('RGB')\n"
        "        return torch.zeros(16) + image.size[0] * 0, i % 37\n"
        "net = torch.nn.Linear(16, 37).cuda(); opt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "for x, y in torch.utils.data.DataLoader(Pets(), batch_size=64, shuffle=True):\n"
        "    loss = torch.nn.functional.cross_entropy(net(x.cuda()), y.cuda()); opt.zero_grad(); loss.backward(); opt.step()\n"
    )
    found = run(runner, text)
    assert (found.reason, found.steps) == ("", 115)
    assert found.assumed_how == ("catalogue",)


def test_a_pattern_finds_the_files_that_are_there_and_images_that_are_not(runner: DryRunner) -> None:
    text = (
        f"{NET}import glob\nopen('part.txt', 'w').write('a')\nassert glob.glob('*.txt') == list(glob.iglob('*.txt')) == ['part.txt']\n"
        f"assert len(glob.glob('data/train/*.jpg')) == 1000 and glob.glob('/usr/nothing/*.so') == []\n{STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.GUESSED, 1), found.reason


def test_a_folder_of_outputs_is_no_data_whatever_it_is_called(runner: DryRunner) -> None:
    text = "import os\nassert not os.path.exists('/tmp/output-cifar10/resnet_1') and os.path.exists('/data/cifar10/train')\n"
    assert run(runner, f"{NET}{text}{STEP}").completeness == Completeness.WHOLE


def test_a_number_drawn_evenly_lies_in_its_range(runner: DryRunner) -> None:
    """As torchvision's detectors choose one of a few sizes."""
    text = (
        f"{NET}sizes = (800,)\nassert sizes[int(torch.empty(1).uniform_(0.0, float(len(sizes))).item())] == 800\n"
        f"assert 2.0 <= torch.empty(3).uniform_(2.0, 4.0)[1].item() < 4.0 and torch.rand(1).item() < 1.0\n"
        f"assert f'{{torch.tensor(3)}}' == '3'\n{STEP}"
    )
    assert (found := run(runner, text)).completeness == Completeness.WHOLE, found.reason


def test_a_wrong_size_is_refused_with_what_to_write(runner: DryRunner) -> None:
    found = run(runner, "import numpy as np\nnp.memmap('a.bin')\n", a_dot_bin="much")
    assert "600MB" in found.reason


def test_a_file_that_torch_loads_is_an_array_where_it_is_sliced(runner: DryRunner) -> None:
    text = (
        f"{NET}rows = torch.load('rows.pt')\nx = torch.from_numpy(rows[3:, :-1])\nassert x.dtype == torch.float64\n"
        f"for _ in range(x.shape[0] // 100):\n    {STEP}"
    )
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.GUESSED, 9)
    assert "default" in found.assumed_how


def test_a_library_that_the_program_brings_itself_is_stood_in_for_as_an_installed_one(runner: DryRunner) -> None:
    reader = "def find_images_and_targets(folder, *args, **kwargs):\n    raise SystemExit(3)\n"
    packages = ("timm", "timm/data", "timm/data/readers")
    text = (
        f"{NET}from timm.data.readers import reader_image_folder as reader\n"
        "samples, classes = reader.find_images_and_targets('/data/imagenet/train')\nassert len(classes) == 1000\n"
        f"for _ in range(len(samples) // 1_000):\n    {STEP}"
    )
    files = {
        "job.py": text,
        **{f"{name}/__init__.py": "" for name in packages},
        f"{packages[2]}/reader_image_folder.py": reader,
    }
    program = DryProgram(
        files={name: part.encode() for name, part in files.items()}, entrypoint="job.py", content_hash="1"
    )
    found = runner.run_program(program)
    assert (found.reason, found.steps) == ("", 1281)


def test_images_are_those_of_the_set_that_the_programs_class_is_called_after(runner: DryRunner) -> None:
    pytest.importorskip("PIL")
    text = (
        f"{NET}import os, rows\nfrom PIL import Image\nnames = os.listdir('data/imgs')\nassert len(names) == 5088\n"
        "assert Image.open('data/imgs/' + names[0]).size == (1918, 1280)\nos.listdir('data/masks')\n"
        f"assert Image.open('data/masks/' + names[0]).mode == 'L'\nfor _ in names:\n    {STEP}"
    )
    kinds = "from torch.utils.data import Dataset\nclass CarvanaDataset(Dataset):\n    pass\n"
    files = {"job.py": text.encode(), "rows.py": kinds.encode()}
    found = runner.run_program(DryProgram(files=files, entrypoint="job.py", content_hash="1"))
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 5088), found.reason
    assert "Carvana has 5,088 images, 1918 x 1280 (catalogue, not checked)" in found.assumptions


def test_a_library_that_was_looked_for_before_it_was_imported_is_stood_in_for(runner: DryRunner) -> None:
    text = f"{NET}import importlib.util\nassert importlib.util.find_spec('torchvision')\n"
    text += f"from torchvision.datasets import MNIST\nfor _ in MNIST('.', download=True):\n    {STEP}"
    pytest.importorskip("torchvision")
    found = run(runner, text)
    assert found.steps == 60_000, found.reason


def test_a_cache_that_is_not_there_holds_no_images(runner: DryRunner) -> None:
    """Libraries look into it; nothing of it is assumed."""
    found = run(
        runner,
        "import glob, os, torch\nfolder = os.path.expanduser('~/.cache/huggingface/datasets/glue')\n"
        "assert glob.glob(folder + '/*') == [] and not os.path.isdir(folder)\ntorch.ones(2, device='cuda') + 1\n",
    )
    assert (found.reason, found.assumptions) == ("", ())
