# ruff: noqa: E501 - the programs are written as people write them
"""The device model against measured training steps: python -m benchmarks.training_steps --throughputs CSV [--json FILE].

The CSV is the table of throughputs of Gavel's job types (Narayanan et al., OSDI 2020; stanford-futuredata/gavel, MIT):
columns gpu, model, batch_size, scale_factor, steps_per_s, measured on K80, P100 and V100 with the PyTorch of 2019.
The programs are written from public knowledge: ResNet-18 for CIFAR-10 images (the usual variant with a 3 x 3 stem),
ResNet-50 for ImageNet, and PyTorch's word language model on Wikitext-2 (2 LSTM layers of 200, 35 words, 33,278 of them),
all in float32. Loading of data is not modelled. Nothing was fitted to these measurements.
"""

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.json_record import keep
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import DryRun

TYPES = ("K80", "P100", "V100")
STEPS = 20
"""Of each program; the first costs more, as it makes the state of the optimizer."""
HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
RESNET = """
class Block(nn.Module):
    def __init__(self, a, width, stride, wide):
        super().__init__()
        b = width * wide
        sides = [(a, width, 3, stride), (width, width, 3, 1)]
        if wide == 4:
            sides = [(a, width, 1, 1), (width, width, 3, stride), (width, b, 1, 1)]
        self.body = nn.ModuleList(nn.Conv2d(i, o, k, s, k // 2, bias=False) for i, o, k, s in sides)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in sides)
        self.skip = nn.Identity()
        if stride > 1 or a != b:
            self.skip = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
    def forward(self, x):
        y = x
        for i, (conv, norm) in enumerate(zip(self.body, self.norms)):
            y = norm(conv(y))
            y = F.relu(y) if i < len(self.body) - 1 else y
        return F.relu(y + self.skip(x))
def net(blocks, wide, stem, classes):
    layers, a = [*stem, nn.BatchNorm2d(64), nn.ReLU()], 64
    layers += [nn.MaxPool2d(3, 2, 1)] if wide == 4 else []
    for i, count in enumerate(blocks):
        for j in range(count):
            layers.append(Block(a, 64 * 2**i, 2 if i and not j else 1, wide))
            a = 64 * 2**i * wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(a, classes)).cuda()
model = net(SHAPE)
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
for step in range(STEPS):
    x, y = torch.randn(BATCH, 3, SIDE, SIDE).cuda(), torch.randint(0, 10, (BATCH,)).cuda()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    loss.item()
"""
WORDS = """
embed, rnn, head = nn.Embedding(33278, 200).cuda(), nn.LSTM(200, 200, 2, dropout=0.2).cuda(), nn.Linear(200, 33278).cuda()
parameters = [*embed.parameters(), *rnn.parameters(), *head.parameters()]
h = (torch.zeros(2, BATCH, 200, device="cuda"), torch.zeros(2, BATCH, 200, device="cuda"))
for step in range(STEPS):
    x, y = torch.randint(0, 33278, (35, BATCH), device="cuda"), torch.randint(0, 33278, (35 * BATCH,), device="cuda")
    for p in parameters:
        p.grad = None
    out, h = rnn(F.dropout(embed(x), 0.2), tuple(s.detach() for s in h))
    loss = F.cross_entropy(head(F.dropout(out, 0.2)).view(-1, 33278), y)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 0.25)
    for p in parameters:
        p.data.add_(p.grad, alpha=-20.0)
    loss.item()
"""
PROGRAMS = {
    "ResNet-18": RESNET.replace("SHAPE", "(2, 2, 2, 2), 1, [nn.Conv2d(3, 64, 3, 1, 1, bias=False)], 10").replace("SIDE", "32"),
    "ResNet-50": RESNET.replace("SHAPE", "(3, 4, 6, 3), 4, [nn.Conv2d(3, 64, 7, 2, 3, bias=False)], 1000").replace("SIDE", "224"),
    "LM": WORDS,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for every measurement, and what the errors come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throughputs", required=True, type=Path, metavar="CSV", help="Gavel's measured throughputs")
    parser.add_argument("--device-model", type=Path, default=Path("kilowait/data/device_model"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians there")
    args = parser.parse_args(argv)
    measured = read(args.throughputs)
    runs = dry({(name, batch) for name, batch, _ in measured})
    model, names = model_files.load(args.device_model), list(runs)
    log_s = model.predict([runs[n] for n in names], [Specification.named(t) for t in TYPES]).log_s
    modelled = {(*n, t): math.exp(log_s[i, j]) / STEPS for i, n in enumerate(names) for j, t in enumerate(TYPES)}
    report(measured, modelled)
    keep(
        {"device_model": model_files.read_training(args.device_model)[0], "programs": medians(measured, modelled)},
        args.json,
    )
    return 0


def medians(
    measured: dict[tuple[str, int, str], float], modelled: dict[tuple[str, int, str], float]
) -> list[dict[str, object]]:
    """Of each program, and of all, over batches and types: modelled over measured seconds, and the median error."""
    found: list[dict[str, object]] = []
    for name in (*PROGRAMS, "all"):
        ratios = [modelled[key] / seconds for key, seconds in measured.items() if name in (key[0], "all")]
        errors = [abs(ratio - 1) for ratio in ratios]
        found.append(
            {
                "program": name,
                "steps": len(ratios),
                "modelled_over_measured": statistics.median(ratios),
                "median_error": statistics.median(errors),
            }
        )
    return found


def read(path: Path) -> dict[tuple[str, int, str], float]:
    """Measured seconds of a step by model, batch size and type, on one GPU."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] in PROGRAMS and row["scale_factor"] == "1"]
    return {
        (row["model"], int(float(row["batch_size"])), row["gpu"].upper()): 1 / float(row["steps_per_s"])
        for row in rows
        if row["gpu"].upper() in TYPES and float(row["steps_per_s"]) > 0
    }


def dry(wanted: set[tuple[str, int]]) -> dict[tuple[str, int], DryRun]:
    """A dry run of each program."""
    runs = {}
    with DryRunner(budget_s=60, target="cuda", unsafe=True) as runner:
        for name, batch in sorted(wanted):
            text = HEAD + PROGRAMS[name].replace("STEPS", str(STEPS)).replace("BATCH", str(batch))
            runs[name, batch] = runner.run_program(
                DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash=f"{name} {batch}")
            )
    return runs


def report(measured: dict[tuple[str, int, str], float], modelled: dict[tuple[str, int, str], float]) -> None:
    """A line a measurement; then medians of modelled over measured, of steps and of ratios between types."""
    print(f"{'model':10} {'batch':>5} {'type':>5} {'measured ms':>12} {'modelled ms':>12} {'ratio':>6}")
    for key, seconds in sorted(measured.items()):
        name, batch, gpu = key
        ratio = modelled[key] / seconds
        print(f"{name:10} {batch:5} {gpu:>5} {seconds * 1e3:12.1f} {modelled[key] * 1e3:12.1f} {ratio:6.2f}")
    for gpu in TYPES:
        ratios = [modelled[k] / s for k, s in measured.items() if k[2] == gpu]
        print(f"{gpu}: modelled over measured, median {statistics.median(ratios):.2f} of {len(ratios)}")
    for gpu in ("P100", "K80"):
        pairs = [(k, (*k[:2], "V100")) for k in measured if k[2] == gpu and (*k[:2], "V100") in measured]
        log_errors = [abs(math.log(modelled[a] / modelled[b] * measured[b] / measured[a])) for a, b in pairs]
        print(
            f"{gpu} against V100: the ratio is off by a factor of {math.exp(statistics.median(log_errors)):.2f} (median)"
        )


if __name__ == "__main__":
    sys.exit(main())
