# ruff: noqa: E501 - the programs are written as people write them
"""How many optimizer steps a dry run counts: right, or doubted and said."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

HEAD = """
import argparse, itertools, math, os, sys, time
import numpy as np
import torch
from torch import nn
net = nn.Linear(64, 64).cuda()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
def batch():
    return torch.randn(32, 64, device="cuda")
def train_on(x):
    loss = net(x).square().mean()
    opt.zero_grad(); loss.backward(); opt.step()
    return loss
@torch.no_grad()
def evaluate(n=5):
    losses = torch.zeros(n)
    for k in range(n):
        losses[k] = net(batch()).square().mean().item()
    return losses.mean()
def loader(n, size, **options):
    data = torch.utils.data.TensorDataset(torch.randn(n, 64), torch.zeros(n, dtype=torch.long))
    return torch.utils.data.DataLoader(data, batch_size=size, **options)
class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True:
            yield torch.randn(64)
"""
STEP = 3 * 2 * 64 * 64 * 32
"""Multiplications and additions of a step: its product forwards, and for its weights; its input needs no gradient."""

COUNTED: dict[str, tuple[int, str]] = {
    "a generator of the program's own around a loader": (
        2 * 157 + 3,
        """
class Log:
    def log_every(self, data, every):
        i = 0
        print(len(data))
        for obj in data:
            yield obj
            if i % every == 0:
                print(i)
            i += 1
        train_on(batch())
log, seen, data = Log(), 0, loader(5000, 32)
for epoch in range(2):
    for k, (x, y) in enumerate(log.log_every(data, 10)):
        train_on(x.cuda())
        seen += len(x)
        if k % 100 == 50:
            evaluate()
for x, y in log.log_every(loader(320, 32), 10):
    assert x.shape[0] == 32
assert seen == 10000, seen
""",
    ),
    "nothing but chance at first": (
        989,
        """
import random
def learn(k):
    return train_on(batch())
for step in range(20_000):
    if random.random() < max(1.0 - step / 50, 0.05):
        action = random.random()
    else:
        action = net(batch()).argmax().item()
    if step > 200:
        if step % 20 == 0:
            learn(step)
""",
    ),
    "a long time before anything is learnt, and a ring of rows": (
        1_249_999,
        """
class Ring:
    def __init__(self):
        self.rows, self.at, self.full = np.zeros((1000, 4)), 0, False
    def add(self, row):
        self.rows[self.at] = row
        self.at += 1
        if self.at == len(self.rows):
            self.full = True
            self.at = 0
ring = Ring()
for step in range(5_020_000):
    ring.add(np.zeros(4))
    if step > 20_000 and step % 4 == 0:
        assert 0 <= ring.at < 1000
        train_on(batch())
""",
    ),
    "outputs gathered in a list, the last of them smaller": (
        157,
        """
rows = []
for x, y in loader(5000, 32):
    rows.append(net(x.cuda()).detach())
    train_on(x.cuda())
assert torch.cat(rows).shape == (5000, 64), torch.cat(rows).shape
""",
    ),
    "one model after another": (
        60,
        """
for fold in range(3):
    net = nn.Linear(64, 64).cuda()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        train_on(batch())
""",
    ),
    "a count that is not always begun": (
        20,
        "if len(sys.argv) > 9: total = 0\nfor _ in range(20):\n    train_on(batch())\n    if len(sys.argv) > 9: total += 1\n",
    ),
    "while true, >=": (1000, "it = 0\nwhile True:\n    train_on(batch())\n    it += 1\n    if it >= 1000: break\n"),
    "while true, >, with evaluations that compare losses": (
        5001,
        """
it, best = 0, 1e9
while True:
    if it % 250 == 0:
        now = evaluate()
        if now < best or it == 0:
            best = now
            if it > 0:
                print("saved")
    if it == 0 and len(sys.argv) > 5:
        break
    for micro in range(1):
        loss = train_on(batch())
    if it % 10 == 0:
        lossf = loss.item() * 4
        print(f"iter {it}: loss {lossf:.4f}, time {time.time():.2f}")
    it += 1
    if it > 5000:
        break
""",
    ),
    "while true, ==": (
        777,
        "it = 0\nwhile True:\n    train_on(batch())\n    it += 1\n    if it == 777:\n        break\n",
    ),
    "more steps than are planned for": (
        3_000_000,
        "it = 0\nwhile True:\n    train_on(batch())\n    it += 1\n    if it >= 3_000_000:\n        break\n",
    ),
    "very many steps, one in two batches": (
        400_000,
        """
it = done = 0
while True:
    loss = net(batch()).square().mean()
    loss.backward()
    it += 1
    if it % 2 != 0:
        continue
    opt.step()
    done += 1
    if done >= 400_000:
        break
""",
    ),
    "as many steps as a list that a short comprehension makes": (
        4 * 40,
        """
def sizes(n):
    return [k for k in range(n)]
for epoch in range(40):
    made = sizes(4)
    for k in range(2000):
        net(batch())
    for k in sizes(4):
        train_on(batch())
""",
    ),
    "a counter set anew": (640, "i = 0\nwhile i < 640:\n    train_on(batch())\n    i = i + 1\n"),
    "a counter that goes down": (55, "left = 55\nwhile left > 0:\n    train_on(batch())\n    left -= 1\n"),
    "a counter in an object": (
        450,
        """
class Trainer:
    def __init__(self):
        self.step, self.max_steps = 0, 450
    def one(self):
        train_on(batch())
        self.step += 1
    def fit(self):
        while True:
            self.one()
            if self.step >= self.max_steps:
                return
trainer = Trainer()
trainer.fit()
assert trainer.step == 450, trainer.step
""",
    ),
    "a counter in a dictionary": (
        321,
        "state = {'step': 0}\nwhile state['step'] < 321:\n    train_on(batch())\n    state['step'] += 1\n",
    ),
    "a global counter in a function": (
        350,
        """
done = 0
def one():
    global done
    train_on(batch())
    done += 1
while done < 350:
    one()
""",
    ),
    "a counter of every fourth micro-batch": (
        200,
        """
done = 0
for i in range(100_000):
    (net(batch()).square().mean() / 4).backward()
    if (i + 1) % 4 == 0:
        opt.step()
        opt.zero_grad()
        done += 1
    if done >= 200:
        break
""",
    ),
    "max_steps in the middle of an epoch": (
        220,
        """
done, max_steps = 0, 220
for epoch in range(100):
    for x, y in loader(3200, 64):
        train_on(x.cuda())
        done += 1
        if max_steps > 0 and done >= max_steps:
            break
    if done >= max_steps:
        break
""",
    ),
    "max_steps by return from nested loops, counter in an object": (
        1234,
        """
args = argparse.Namespace(max_steps=1234, seen=0)
def train():
    for epoch in range(1000):
        for x, y in loader(1003, 10):
            train_on(x.cuda())
            args.seen += 1
            if args.max_steps is not None and args.seen >= args.max_steps:
                return "done"
assert train() == "done"
""",
    ),
    "an endless data set left by break": (
        300,
        """
for step, x in enumerate(torch.utils.data.DataLoader(Endless(), batch_size=32)):
    train_on(x.cuda())
    if step + 1 == 300:
        break
""",
    ),
    "an endless generator and a counter": (
        2500,
        """
def forever():
    while True:
        for x, y in loader(640, 32):
            yield x
it = 0
for x in forever():
    train_on(x.cuda())
    it += 1
    if it >= 2500:
        break
""",
    ),
    "next of an iterator that begins again": (
        900,
        """
batches = iter(loader(100, 10))
for step in range(900):
    try:
        x, y = next(batches)
    except StopIteration:
        batches = iter(loader(100, 10))
        x, y = next(batches)
    train_on(x.cuda())
""",
    ),
    "itertools.cycle and zip with range": (
        512,
        "for i, (x, y) in zip(range(512), itertools.cycle(loader(64, 16))):\n    train_on(x.cuda())\n",
    ),
    "itertools.count": (
        130,
        "for i in itertools.count(1):\n    train_on(batch())\n    if i >= 130:\n        break\n",
    ),
    "itertools.islice of an endless data set": (
        140,
        "for x in itertools.islice(torch.utils.data.DataLoader(Endless(), batch_size=4), 140):\n    train_on(x.cuda())\n",
    ),
    "a stream that ends before the counter does": (
        57,
        """
def stream():
    for _ in range(57):
        yield torch.randn(32, 64)
for step, x in enumerate(stream()):
    if step >= 1000:
        break
    train_on(x.cuda())
""",
    ),
    "epochs by batches with a count over both": (
        30 * 47,
        """
batches = loader(1504, 32)
evaluations = 0
for epoch in range(30):
    for i, (x, y) in enumerate(batches):
        step = epoch * len(batches) + i
        train_on(x.cuda())
""",
    ),
    "a loop that is left by a flag that a counter sets": (
        400,
        """
done, it = False, 0
while not done:
    loss = train_on(batch())
    if loss.item() < 0.5:
        print("good")
    it += 1
    if it >= 400:
        done = True
""",
    ),
    "a loss that is not a number ends nothing": (
        60,
        """
for step in range(60):
    loss = train_on(batch())
    if not math.isfinite(loss.item()):
        print("bad loss")
        sys.exit(1)
    if torch.isnan(loss):
        raise RuntimeError("NaN")
""",
    ),
    "the program ends itself": (
        101,
        "for step in range(5000):\n    train_on(batch())\n    if step == 100:\n        sys.exit(0)\n",
    ),
    "--dry-run as in many examples": (
        1,
        """
args = argparse.Namespace(dry_run=True)
for epoch in range(1):
    for i, (x, y) in enumerate(loader(640, 64)):
        loss = train_on(x.cuda())
        if i % 10 == 0:
            print("loss {:.6f}".format(loss.item()))
            if args.dry_run:
                break
""",
    ),
    "a quotient of the index": (
        250,
        "for i in range(10_000):\n    if i // 4 >= 250:\n        break\n    if i % 4 == 0:\n        train_on(batch())\n",
    ),
    "nested functions": (
        88,
        """
def outer(n):
    def inner(k):
        return train_on(batch()) if k < 10_000 else None
    for k in range(n):
        inner(k)
outer(88)
""",
    ),
    "many modules built by a comprehension, and state of their own kept": (
        20,
        """
blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(200)]).cuda()
layers = []
for i in range(150):
    layers.append(nn.Linear(4, 4))
assert len({id(layer) for layer in [*blocks, *layers]}) == 350
means = [p.detach().clone() for p in nn.ModuleList([nn.Linear(n, n) for n in range(1, 90)]).parameters()]
assert [tuple(m.shape) for m in means][-2:] == [(89, 89), (89,)]
for name, p in blocks.named_parameters():
    nn.init.trunc_normal_(p, std=0.02)
for step in range(20):
    train_on(batch())
""",
    ),
    "numbers of values that are not known go through NumPy and formats": (
        45,
        """
total, history = 0.0, []
for step in range(45):
    loss = train_on(batch())
    total += np.sqrt(loss.item()) + float(loss) + np.mean([loss.item(), 1.0])
    history.append(loss.item())
    print(f"{loss:.3f} {loss.item():5.2f} {total / (step + 1):.2e}", "{:.1f}".format(loss.detach()), "%.3f" % loss)
    print(loss.tolist(), round(loss.item(), 3), np.round(loss.item(), 2), int(100 * loss.item()), min(history))
""",
    ),
    "values that are known": (
        7 * 3,
        """
mean, std = torch.tensor([0.5]), torch.as_tensor((0.25,))
if (std == 0).any() or torch.equal(mean, std) or not torch.equal(mean, mean.clone()):
    raise ValueError("std evaluated to zero")
classes = torch.tensor([3, 1, 3, 2, 1])
for c in torch.unique(classes).tolist():
    for _ in range(int(round((mean / std * 3.5).item()))):
        train_on(batch())
assert f"{std.item():.2f}" == "0.25" and torch.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
""",
    ),
}


def run(runner: DryRunner, text: str) -> DryRun:
    files = {"job.py": (HEAD + text).encode()}
    return runner.run_program(DryProgram(files=files, entrypoint="job.py", content_hash="1"))


def products(found: DryRun) -> float:
    return sum(op.count * op.flops for op in found.operations if op.kind == "gemm" and op.device == "cuda")


@pytest.mark.parametrize("name", COUNTED)
def test_the_steps_are_those_of_the_whole_program(runner: DryRunner, name: str) -> None:
    steps, text = COUNTED[name]
    found = run(runner, text)
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")
    assert found.steps == pytest.approx(steps, rel=1e-6)


UPPER_BOUNDS: dict[str, tuple[int, str]] = {
    "patience counted by hand": (
        80,
        """
best, bad = float("inf"), 0
for epoch in range(80):
    loss = train_on(batch()).item()
    if loss < best:
        best, bad = loss, 0
    else:
        bad += 1
        if bad >= 3:
            print("stopped early")
            break
""",
    ),
    "an object that says when to stop": (
        90,
        """
class Stopper:
    def __init__(self):
        self.best, self.count, self.stop = None, 0, False
    def __call__(self, loss):
        if self.best is None or loss < self.best - 1e-3:
            self.best, self.count = loss, 0
        else:
            self.count += 1
            self.stop = self.count >= 5
stopper = Stopper()
for epoch in range(30):
    for x, y in loader(96, 32):
        train_on(x.cuda())
    stopper(evaluate())
    if stopper.stop:
        break
""",
    ),
    "a loss that is small enough, or a counter": (
        500,
        """
it, loss = 0, torch.tensor(1.0)
while loss > 0.01 and it < 500:
    loss = train_on(batch())
    it += 1
""",
    ),
    "a loss that is small enough ends a loop of known length": (
        70,
        "for i in range(70):\n    loss = train_on(batch())\n    if i > 5 and loss < 2.0:\n        break\n",
    ),
    "a state that the items left out would change": (
        10_000,
        """
state = [0.0]
for t in range(10_000):
    train_on(batch())
    state = [state[0] + 0.5]
    done = state[0] > 100
    if done:
        break
""",
    ),
    "a counter or a loss": (
        600,
        """
it = 0
while True:
    loss = train_on(batch())
    it += 1
    if it >= 600 or loss.item() < 2.0:
        break
""",
    ),
}


@pytest.mark.parametrize("name", UPPER_BOUNDS)
def test_stopping_early_is_an_upper_bound_and_said(runner: DryRunner, name: str) -> None:
    steps, text = UPPER_BOUNDS[name]
    found = run(runner, text)
    assert found.completeness == Completeness.GUESSED
    assert found.steps == pytest.approx(steps)
    assert any("upper bound" in line and "job.py line" in line for line in found.assumptions)


def test_evaluations_every_so_many_steps_are_counted_over_epochs(runner: DryRunner) -> None:
    """20 epochs of 50 batches, evaluated at every 200th step: 5 times, 10 products each."""
    found = run(
        runner,
        """
done = 0
for epoch in range(20):
    for x, y in loader(1600, 32):
        if done % 200 == 0:
            evaluate(10)
        train_on(x.cuda())
        done += 1
""",
    )
    assert found.completeness == Completeness.WHOLE
    assert found.steps == pytest.approx(1000)
    evaluated = [op for op in found.operations if op.op == "aten.addmm"]
    assert sum(op.count for op in evaluated) == pytest.approx(1000 + 5 * 10)


def test_the_same_of_a_count_made_of_two_indices(runner: DryRunner) -> None:
    found = run(
        runner,
        """
batches = loader(1600, 32)
for epoch in range(20):
    for i, (x, y) in enumerate(batches):
        if (epoch * len(batches) + i) % 200 == 0:
            evaluate(10)
        train_on(x.cuda())
""",
    )
    assert sum(op.count for op in found.operations if op.op == "aten.addmm") == pytest.approx(1000 + 5 * 10)


@pytest.mark.parametrize(
    "text",
    [
        "start = time.time()\nwhile time.time() - start < 3600:\n    train_on(batch())\n",
        "start = time.perf_counter()\nwhile True:\n    train_on(batch())\n    if time.perf_counter() - start > 3600:\n        break\n",
        "end = time.monotonic() + 60 * 60\nwhile time.monotonic() < end:\n    train_on(batch())\n",
        "start = time.time()\nfor step in range(10**9):\n    train_on(batch())\n    if (time.time() - start) / 60 >= 60:\n        break\n",
    ],
)
def test_a_limit_by_the_clock_is_the_answer(runner: DryRunner, text: str) -> None:
    found = run(runner, text)
    assert found.limit_s == pytest.approx(3600)
    assert found.completeness == Completeness.GUESSED
    assert any("3,600 s" in line for line in found.assumptions)


@pytest.mark.parametrize(
    ("text", "steps", "words"),
    [
        ("for step in range(2000):\n    train_on(batch())\n    open('/data/log.txt', 'a')\n", 2000, "item 1 of 2,000"),
        ("for e in range(9):\n    for x, y in loader(640, 32):\n        train_on(x.cuda())\n    open('/data/log.txt', 'a')\n", 180, "item 1 of 9"),
        ("for step in range(3000):\n    train_on(batch())\n    if step % 500 == 499:\n        open('/data/x', 'w')\n", 3000, "item 500 of 3,000"),
        ("i = 0\nwhile i < 700:\n    train_on(batch())\n    i += 1\n    if i == 10:\n        import not_there\n", 700, "item 10 of 700"),
        ("for step in range(300):\n    train_on(batch())\nopen('/data/model.pt', 'wb')\n", 300, "not seen"),
    ],
)  # fmt: skip
def test_a_run_that_an_error_ended_is_taken_to_the_ends_of_its_loops(
    runner: DryRunner, text: str, steps: int, words: str
) -> None:
    found = run(runner, text)
    assert found.completeness == Completeness.PARTIAL
    assert found.steps == pytest.approx(steps, rel=0.02)
    assert words in found.reason
    assert "job.py line" in found.reason
    assert found.unbounded == ""
    assert found.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train_on(batch())\nraise OSError('no disk')\n", "outside of any loop"),
        ("while True:\n    train_on(batch())\n    open('/data/log.txt', 'a')\n", "nothing says how often"),
        ("while True:\n    train_on(batch())\n", "nothing says how often"),
        ("for i in itertools.count(1):\n    train_on(batch())\n", "nothing says how often"),
        ("reward = 0.0\nfor i in itertools.count(1):\n    train_on(batch())\n    reward = 0.5 * reward\n    if reward > 9:\n        break\n", "nothing says how often"),
        ("for x in torch.utils.data.DataLoader(Endless(), batch_size=2):\n    train_on(x.cuda())\n", "nothing says how often"),
        ("loss = torch.tensor(1.0)\nwhile loss > 0.001:\n    loss = train_on(batch())\n", "nothing says how often"),
    ],
)  # fmt: skip
def test_what_nothing_bounds_is_no_measure_of_the_job(runner: DryRunner, text: str, words: str) -> None:
    found = run(runner, text)
    assert found.completeness == Completeness.PARTIAL
    assert words in found.unbounded


def test_an_error_names_the_line_of_the_program_and_what_to_do(runner: DryRunner) -> None:
    missing = run(runner, "def load():\n    import not_there\nload()\n")
    lines = (HEAD + "def load():\n    import not_there\nload()\n").splitlines()
    assert f"job.py line {lines.index('    import not_there') + 1}" in missing.reason
    assert "--python" in missing.remedy
    assert "--data" in run(runner, "raise FileNotFoundError('corpus.txt')\n").remedy
    assert "--env" in run(runner, "os.environ['DATA_ROOT']\n").remedy


def test_an_error_that_the_program_catches_ends_its_loop_for_a_guess(runner: DryRunner) -> None:
    text = "try:\n    for i in range(40):\n        train_on(batch())\n        if i == 2:\n            open('/gone')\nexcept OSError:\n    pass\n"
    found = run(runner, text)
    assert found.completeness == Completeness.GUESSED
    assert "an error that the program caught" in found.reason


def test_samples_are_those_of_the_loader_that_trains(runner: DryRunner) -> None:
    text = """
for epoch in range(3):
    for x, y in loader(1003, 64):
        train_on(x.cuda())
    for x, y in loader(500, 250):
        with torch.no_grad():
            net(x.cuda())
"""
    assert run(runner, text).samples == pytest.approx(3 * 1003)
    assert run(runner, "for i in range(50):\n    train_on(batch())\n").samples == 0


def test_an_lbfgs_step_evaluates_its_closure_as_often_as_it_may(runner: DryRunner) -> None:
    text = """
x = batch()
opt = torch.optim.LBFGS(net.parameters(), max_iter=7)
def closure():
    opt.zero_grad()
    loss = net(x).square().mean()
    loss.backward()
    return loss
for step in range(12):
    loss = opt.step(closure)
    print(f"{loss.item():.3f}")
"""
    found = run(runner, text)
    assert found.steps == 12
    assert products(found) == pytest.approx(12 * 7 * 2 * STEP / 3, rel=0.02)
    assert any("7 times" in line for line in found.assumptions)


def test_tied_weights_count_once(runner: DryRunner) -> None:
    text = """
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(1000, 16), nn.Linear(16, 1000, bias=False)
        self.embed.weight = self.head.weight
model = Tied().cuda()
model.head(model.embed(torch.zeros(4, dtype=torch.long, device="cuda")))
del model
train_on(batch())
"""
    assert run(runner, text).parameters == 1000 * 16 + 64 * 64 + 64


def test_a_last_game_of_unknown_length_does_not_hide_the_training(runner: DryRunner) -> None:
    """What trains nothing after all training is taken as it was seen, and said; before it, nothing is known."""
    game = "done = False\nwhile not done:\n    net(batch())\n    done = np.random.rand() < 0\n"
    training = "for _ in range(500):\n    train_on(batch())\n"
    found = run(runner, training + game)
    assert (found.completeness, found.steps, found.unbounded) == (Completeness.GUESSED, 500, "")
    assert any("it trains nothing" in line for line in found.assumptions)
    assert "nothing says how often" in run(runner, game + training).unbounded


def test_an_epoch_like_those_before_is_told_by_its_first_batch(runner: DryRunner) -> None:
    """What one epoch's steps at every 7th batch do, another's do, too; those that are asked anew are run."""
    found = run(
        runner,
        """
done = 0
runs = []
for epoch in range(30):
    count = 0
    for x, y in loader(3200, 32):
        train_on(x.cuda())
        done += 1
        count += 1
        if done % 7 == 0:
            print("saved")
    runs.append(count)
assert set(runs) == {100} and done == 3000, (done, runs)
""",
    )
    assert (found.completeness, found.steps) == (Completeness.WHOLE, pytest.approx(3000))


def test_an_epoch_that_is_cut_short_is_like_those_that_were_not(runner: DryRunner) -> None:
    """The second of ten epochs ends in an error before its first step: the first tells how many there are."""
    text = """
for epoch in range(10):
    for k, (x, y) in enumerate(loader(3200, 32)):
        if epoch == 1:
            open("nowhere/at/all.cfg")
        train_on(x.cuda())
"""
    found = run(runner, text)
    assert (found.completeness, found.steps) == (Completeness.PARTIAL, pytest.approx(1000))
