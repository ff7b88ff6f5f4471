"""What would cost a dry run its budget and tells nothing: orders that are drawn, and rows that are all alike."""

import pytest

from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness
from kilowait.program.source import Source

HEAD = """
import os, subprocess, torch
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, WeightedRandomSampler
net = torch.nn.Linear(20, 1).cuda()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
class Rows(Dataset):
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, index):
        return torch.randn(3, 8, 8).flatten()[:20], torch.rand(1)
def train_on(x):
    opt.zero_grad(); net(x.cuda()).mean().backward(); opt.step()
"""
PROGRAMS = {
    "the first batch of a million rows in a random order": (
        2 * 7,
        """
loader = DataLoader(Rows(1_000_000), batch_size=256, shuffle=True)
for epoch in range(2):
    assert len(next(iter(loader))[0]) == 256
    for _ in range(7):
        train_on(torch.randn(4, 20))
""",
    ),
    "rows that are drawn by their weights, and some of them": (
        157 + 4,
        """
weighted = WeightedRandomSampler(torch.ones(10_000), 10_000)
for x, y in DataLoader(Rows(10_000), batch_size=64, sampler=weighted):
    train_on(x)
some = DataLoader(Rows(10_000), batch_size=64, sampler=SubsetRandomSampler(list(range(500, 700))))
batches = iter(some)
for _ in range(4):
    x, y = next(batches)
    train_on(x)
assert len(x) == 200 - 3 * 64, x.shape
""",
    ),
    "a loader around a loader, which says its length": (
        3 * 1_000,
        """
class Ahead:
    def __init__(self, loader): self.loader = loader
    def __len__(self): return len(self.loader)
    def __iter__(self):
        before = None
        for rows in self.loader:
            if before is not None:
                yield before
            before = rows[0].cuda()
        yield before
for epoch in range(3):
    for x in Ahead(DataLoader(Rows(64_000), batch_size=64)):
        train_on(x)
""",
    ),
    "a bar as wide as the terminal": (
        24 + 80 + 80,
        """
rows, columns = os.popen("stty size", "r").read().split()
again = subprocess.check_output(["stty", "size"]).decode().split()[1]
assert os.get_terminal_size().columns == 80
for _ in range(int(rows) + int(columns) + int(again)):
    train_on(torch.randn(4, 20))
""",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_steps_come_out_within_the_default_budget(name: str) -> None:
    steps, text = PROGRAMS[name]
    with DryRunner(budget_s=4, unsafe=True) as runner:
        found = runner.run(Source(name="job.py", text=HEAD + text, content_hash="1"))
    assert (found.completeness, found.reason, found.steps) == (Completeness.WHOLE, "", steps)


def test_rows_that_are_alike_are_not_all_made(runner: DryRunner) -> None:
    text = "for x, y in DataLoader(Rows(25_600), batch_size=256):\n    assert x.shape == (256, 20)\n    train_on(x)\n"
    found = runner.run(Source(name="job.py", text=HEAD + text, content_hash="1"))
    made = sum(op.count for op in found.operations if op.op == "aten.randn" and op.device == "cpu")
    assert (found.completeness, found.steps) == (Completeness.WHOLE, 100)
    assert made <= 4 * 100


def test_rows_of_several_lengths_are_all_made(runner: DryRunner) -> None:
    text = """
class Texts(Dataset):
    def __len__(self): return 64
    def __getitem__(self, index): return torch.randn(10 + index % 7)
def padded(rows):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
(x,) = DataLoader(Texts(), batch_size=64, collate_fn=padded)
assert x.shape == (64, 16), x.shape
train_on(torch.randn(4, 20))
"""
    found = runner.run(Source(name="job.py", text=HEAD + text, content_hash="1"))
    assert (found.completeness, found.reason, found.steps) == (Completeness.WHOLE, "", 1)
