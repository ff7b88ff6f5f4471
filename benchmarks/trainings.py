"""Twenty small CPU trainings that write their progress as people's do: python -m benchmarks.trainings plain 140.

Each has a model of its own and a way of its own of spending time beside its steps: evaluations, checkpoints, a first
epoch that is slow, steps that grow. It times a few steps first, so that the whole takes about SECONDS on the machine
at hand; that belongs to its start-up.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm, trange

Step = Callable[..., float]


def trained(model: nn.Module, batch: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> tuple[Step, Step]:
    """A training step and an evaluation step of a model on batches made anew."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def loss_of(*size: int) -> torch.Tensor:
        x, y = batch(*size)
        out = model(x)
        return F.cross_entropy(out.flatten(0, -2), y.flatten())

    def train(*size: int) -> float:
        optimizer.zero_grad()
        loss = loss_of(*size)
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate(*size: int) -> float:
        with torch.no_grad():
            return loss_of(*size).item()

    return train, evaluate


class Words(nn.Module):
    """A small language model: an LSTM, or a transformer."""

    def __init__(self, width: int, *, recurrent: bool = False) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(2000, width), nn.Linear(width, 2000)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
        self.recurrent = recurrent
        self.body = nn.LSTM(width, width, 2, batch_first=True) if recurrent else nn.TransformerEncoder(layer, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the next word, (batch, words, vocabulary)."""
        y = self.body(self.embed(x))
        return self.head(y[0] if self.recurrent else y)


def images(width: int = 32, side: int = 32, size: int = 16) -> tuple[Step, Step]:
    """A small convolutional network on noise."""
    stem = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    body = [nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    model = nn.Sequential(*stem, *body, nn.Flatten(), nn.Linear(2 * width, 10))
    return trained(model, lambda: (torch.randn(size, 3, side, side), torch.randint(0, 10, (size,))))


def words(width: int = 96, *, recurrent: bool = False, size: int = 8) -> tuple[Step, Step]:
    """A small language model on noise; a step takes the number of words."""
    model = Words(width, recurrent=recurrent)
    return trained(model, lambda n=64: (torch.randint(0, 2000, (size, n)), torch.randint(0, 2000, (size, n))))


def vectors(width: int = 512, size: int = 128) -> tuple[Step, Step]:
    """A perceptron on noise."""
    layers = [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)]
    return trained(nn.Sequential(*layers), lambda: (torch.randn(size, width), torch.randint(0, 10, (size,))))


def step_s(step: Step, *size: int) -> float:
    """Median seconds of a step on the processor, of the last nine of twelve."""
    times = []
    for _ in range(12):
        began = time.process_time()
        step(*size)
        times.append(time.process_time() - began)
    return statistics.median(times[3:])


def planned(count: Callable[[], float]) -> int:
    """As many as were given with --count, else as many as fit in the seconds by steps that are timed first."""
    return GIVEN[0] if GIVEN else int(count())


GIVEN: list[int] = []


def save(megabytes: int) -> None:
    """Write a checkpoint, to the disk, and forget it."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "last.pt").open("wb") as file:
        torch.save(torch.zeros(megabytes << 18), file)
        os.fsync(file.fileno())


def plain(seconds: float) -> None:
    """`step 120/5000` now and then."""
    step, _ = vectors()
    total = planned(lambda: seconds / step_s(step))
    for i in range(1, total + 1):
        loss = step()
        if i % 20 == 0:
            print(f"step {i}/{total} loss {loss:.4f}", flush=True)


def bar(seconds: float) -> None:
    """One progress bar."""
    step, _ = images()
    for _ in (t := trange(planned(lambda: seconds / step_s(step)))):
        t.set_postfix(loss=f"{step():.3f}")


def bars(seconds: float) -> None:
    """A bar an epoch, and one of its validation."""
    step, evaluate = images(24)
    steps = planned(lambda: seconds / (8 * step_s(step) + 2 * step_s(evaluate)))
    for epoch in range(8):
        for _ in tqdm(range(steps), desc=f"Epoch {epoch + 1}/8"):
            step()
        for _ in tqdm(range(steps // 4), desc="Validating"):
            evaluate()


def iterations(seconds: float) -> None:
    """`iter 300: loss 2.1`, without a total, and an evaluation every tenth of the way."""
    step, evaluate = words()
    total = planned(lambda: seconds / (step_s(step) + 0.12 * step_s(evaluate)))
    print(f"tokens per iteration will be: 512\nmax_iters = {total}", flush=True)
    for i in range(total + 1):
        if i % (total // 10) == 0:
            losses = [evaluate() for _ in range(max(1, int(total * 0.011)))]
            print(f"step {i}: train loss {statistics.mean(losses):.4f}, val loss {losses[-1]:.4f}", flush=True)
        began = time.perf_counter()
        loss = step()
        if i % 10 == 0:
            print(f"iter {i}: loss {loss:.4f}, time {(time.perf_counter() - began) * 1000:.2f}ms", flush=True)


def imagenet(seconds: float) -> None:
    """`Epoch: [3][ 120/5005]` and `Test: [10/50]`."""
    step, evaluate = images(48)
    steps = planned(lambda: seconds / (6 * step_s(step) + 1.2 * step_s(evaluate)))
    for epoch in range(6):
        for i in range(steps):
            loss = step()
            if i % 10 == 0:
                print(f"Epoch: [{epoch}][{i + 1:4d}/{steps}]\tTime  0.1\tLoss {loss:.4e}", flush=True)
        for i in range(steps // 5):
            loss = evaluate()
            if i % 10 == 0:
                print(f"Test: [{i + 1:3d}/{steps // 5}]\tLoss {loss:.4e}", flush=True)


def trainer(seconds: float, *, bar: bool = True) -> None:
    """Hugging Face's own Trainer with an evaluation every eighth of the way."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    size = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 384}
    model = BertForSequenceClassification(BertConfig(vocab_size=2000, **size))
    rows = [{"input_ids": torch.randint(0, 2000, (64,)), "labels": random.randrange(2)} for _ in range(512)]
    batch = {"input_ids": torch.randint(0, 2000, (8, 64)), "labels": torch.zeros(8, dtype=torch.long)}
    total = planned(lambda: seconds / (1.35 * step_s(lambda: model(**batch).loss.backward())))
    with tempfile.TemporaryDirectory() as folder:
        every = {"eval_strategy": "steps", "eval_steps": total // 8, "logging_steps": 10, "save_strategy": "no"}
        paths = {"output_dir": folder, "report_to": [], "disable_tqdm": not bar, "use_cpu": True}
        arguments = TrainingArguments(max_steps=total, per_device_train_batch_size=8, **every, **paths)
        Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:256]).train()


def lines_of_trainer(seconds: float) -> None:
    """The same without its bar: `{'loss': 0.69, 'epoch': 0.32}`."""
    trainer(seconds, bar=False)


def lightning(seconds: float) -> None:
    """Bars as Lightning writes them: a sanity check, epochs, validations within them."""
    step, evaluate = images(40)
    steps = planned(lambda: seconds / (10 * step_s(step) + 2 * step_s(evaluate)))
    for _ in tqdm(range(2), desc="Sanity Checking DataLoader 0"):
        evaluate()
    for epoch in range(10):
        with tqdm(total=steps, desc=f"Epoch {epoch}", postfix="v_num=0") as t:
            for _ in range(steps):
                step()
                t.update()
            for _ in tqdm(range(steps // 5), desc="Validation DataLoader 0", leave=False):
                evaluate()


def uneven(seconds: float) -> None:
    """Sentences of uneven length: `| epoch   1 |   200/ 2983 batches |`."""
    step, evaluate = words(96, recurrent=True)
    steps = planned(lambda: seconds / (5 * step_s(step, 70) + 0.5 * step_s(evaluate, 70)))
    for epoch in range(1, 6):
        lengths = [random.randint(10, 130) for _ in range(steps)]
        for i, n in enumerate(lengths, 1):
            loss = step(n)
            if i % 10 == 0:
                print(f"| epoch {epoch:3d} | {i:5d}/{steps:5d} batches | lr 20.00 | loss {loss:5.2f}", flush=True)
        valid = statistics.mean(evaluate(n) for n in lengths[: steps // 10])
        print(f"-----\n| end of epoch {epoch:3d} | valid loss {valid:5.2f}\n-----", flush=True)


def cached(seconds: float) -> None:
    """A first epoch that reads and prepares what later ones find ready; steps over all epochs."""
    step, _ = vectors(768)
    once_s = step_s(step)
    steps = planned(lambda: seconds / (15.5 * once_s))
    for i in range(15 * steps):
        if i < steps:
            until = time.process_time() + once_s / 2
            while time.process_time() < until:
                sum(range(1000))
        loss = step()
        if (i + 1) % 10 == 0:
            print(f"[{i + 1}/{15 * steps}] loss={loss:.3f}", flush=True)


def curriculum(seconds: float) -> None:
    """Longer sentences with every quarter of the way."""
    step, _ = words()
    lengths = (32, 48, 64, 96)
    quarter = planned(lambda: seconds / sum(step_s(step, n) for n in lengths))
    for i in (t := trange(4 * quarter, desc="train")):
        t.set_postfix(loss=f"{step(lengths[i // quarter]):.3f}")


def adversarial(seconds: float) -> None:
    """`[Epoch 3/20] [Batch 120/400]`, with a generator's step after every fifth of the critic."""
    critic, _ = images(24)
    generator, _ = images(40)
    steps = planned(lambda: seconds / (12 * step_s(critic) + 2.4 * step_s(generator)))
    for epoch in range(12):
        for i in range(steps):
            loss = critic()
            if i % 5 == 0:
                generated = generator()
                print(f"[Epoch {epoch}/12] [Batch {i}/{steps}] [D {loss:.4f}] [G {generated:.4f}]", flush=True)


def checkpoints(seconds: float) -> None:
    """A checkpoint of 16 MB every fortieth of the way, in a bar's pauses."""
    step, _ = vectors(640)
    total = planned(lambda: seconds / step_s(step))
    for i in trange(1, total + 1):
        step()
        if i % (total // 40) == 0:
            save(16)


def episodes(seconds: float) -> None:
    """Episodes that last the longer the better the agent has become."""
    step, _ = vectors(256, 64)
    total = 300
    scale = planned(lambda: seconds / (step_s(step) * sum(0.5 + e / total for e in range(total))))
    for episode in range(1, total + 1):
        length = max(1, round(scale * (0.5 + episode / total) * random.uniform(0.5, 1.5)))
        reward = -sum(step() for _ in range(length))
        print(f"Episode {episode}/{total}\tlength {length}\treward {reward:.1f}", flush=True)


def keras(seconds: float) -> None:
    """`Epoch 3/9` above and `120/500 [===>....] - ETA: 12s` below, drawn over itself."""
    step, evaluate = images(28)
    steps = planned(lambda: seconds / (9 * step_s(step) + 0.9 * step_s(evaluate)))
    for epoch in range(9):
        print(f"Epoch {epoch + 1}/9", flush=True)
        for i in range(1, steps + 1):
            loss = step()
            drawn = "=" * (30 * i // steps)
            sys.stdout.write(f"\r{i}/{steps} [{drawn:.<30}] - ETA: 1s - loss: {loss:.4f}")
            sys.stdout.flush()
        print(f" - val_loss: {statistics.mean(evaluate() for _ in range(steps // 10)):.4f}", flush=True)


def epochs(seconds: float) -> None:
    """Nothing but a line an epoch."""
    step, evaluate = images(32)
    steps = planned(lambda: seconds / (220 * (step_s(step) + 0.2 * step_s(evaluate))))
    for epoch in range(1, 221):
        losses = [step() for _ in range(steps)]
        valid = statistics.mean(evaluate() for _ in range(max(1, steps // 5)))
        print(f"Epoch {epoch}/220: train_loss={losses[-1]:.4f} val_loss={valid:.4f}", flush=True)


def told(seconds: float) -> None:
    """The one line of kilowait's own, at every optimizer step of eight small ones."""
    step, _ = words(64)
    total = planned(lambda: seconds / (8 * step_s(step)))
    for i in range(1, total + 1):
        for _ in range(8):
            step()
        print(f"KILOWAIT_PROGRESS {i}/{total}", flush=True)


def digits(seconds: float) -> None:
    """`Train Epoch: 3 [12800/60000 (21%)]`, as PyTorch's first example says it, with a test after each epoch."""
    step, evaluate = images(20, 28, 64)
    steps = planned(lambda: seconds / (14 * step_s(step) + 2.3 * step_s(evaluate)))
    for epoch in range(1, 15):
        for i in range(steps):
            loss = step()
            if i % 10 == 0:
                seen, share = i * 64, 100 * i / steps
                print(f"Train Epoch: {epoch} [{seen}/{steps * 64} ({share:.0f}%)]\tLoss: {loss:.6f}", flush=True)
        losses = [evaluate() for _ in range(steps // 6)]
        print(f"\nTest set: Average loss: {losses[-1]:.4f}, Accuracy: 9/100 (9%)\n", flush=True)


def sampled(seconds: float) -> None:
    """A bar with a long sampling every fifteenth of the way."""
    step, sample = images(36)
    total = planned(lambda: seconds / (step_s(step) + 0.25 * step_s(sample)))
    with tqdm(initial=0, total=total) as t:
        for i in range(1, total + 1):
            t.set_description(f"loss: {step():.4f}")
            if i % (total // 15) == 0:
                for _ in tqdm(range(total // 60), desc="sampling loop time step", leave=False):
                    sample()
            t.update(1)


def growing(seconds: float) -> None:
    """Steps that take half as long again at the end as at the beginning."""
    step, _ = words(96)
    total = planned(lambda: seconds / step_s(step, 80))
    for i in range(total):
        loss = step(64 + 32 * i // total)
        if i % 5 == 4:
            print(f"Step: {i + 1} / {total}, loss: {loss:.3f}", flush=True)


KINDS = (
    plain, bar, bars, iterations, imagenet, trainer, lines_of_trainer, lightning, uneven, cached,
    curriculum, adversarial, checkpoints, episodes, keras, epochs, told, digits, sampled, growing,
)  # fmt: skip


def main() -> None:
    """Train as the kind says."""
    kinds = {kind.__name__: kind for kind in KINDS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("seconds", type=float, nargs="?", default=140.0)
    parser.add_argument("--count", type=int, help="steps, of whatever the kind counts, and none are timed first")
    options = parser.parse_args()
    GIVEN.extend([] if options.count is None else [options.count])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    kinds[options.kind](options.seconds)


if __name__ == "__main__":
    main()
