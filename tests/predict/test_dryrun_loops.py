"""What a shortened program adds up to is what the whole program does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.predict.dryrun.loops.index import Index, Question
from kilowait.predict.dryrun.loops.loop_plan import LoopPlan

TRUTH = Path(__file__).parents[1] / "support" / "dryrun_truth.py"

HEAD = """
import torch
from torch import nn
torch.manual_seed(0)
"""
PROGRAMS = {
    "modulo branches, first and last": """
model = nn.Linear(8, 4)
optimizer = torch.optim.Adam(model.parameters())
for step in range(203):
    loss = model(torch.randn(16, 8)).square().mean()
    loss.backward()
    if (step + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
    if step % 50 == 0 or step == 202:
        with torch.no_grad():
            for _ in range(3):
                model(torch.randn(100, 8))
""",
    "loader with a ragged last batch, epochs, a counter and a break": """
data = torch.utils.data.TensorDataset(torch.randn(1003, 8), torch.randint(0, 4, (1003,)))
loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, num_workers=2)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
done = 0
for epoch in range(4):
    for i, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        done += 1
    model(torch.randn(500, 8))
for step, (x, y) in enumerate(loader):
    if step >= 11:
        break
    model(x)
""",
    "a while loop over a counter": """
a = torch.randn(32, 32)
step = 0
while step < 777:
    a @ a
    if step % 100 == 0:
        a @ a @ a
    step += 1
assert step == 777
""",
    "while true with a break": """
a = torch.randn(32, 32)
step = 1
while True:
    a @ a
    if step % 25 == 0:
        a + a
    step += 1
    if step > 600:
        break
""",
    "lists that grow by += and by extend": """
model = nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
outputs, targets = [], []
for step in range(150):
    x = torch.randn(16, 8)
    optimizer.zero_grad()
    out = model(x)
    out.square().mean().backward()
    optimizer.step()
    outputs += [out.detach()]
    targets.extend([x, x])
assert torch.cat(outputs).shape == (150 * 16, 4)
assert len(targets) == 300
""",
    "a recurrence whose states are kept": """
cell = nn.Linear(8, 8)
optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
for step in range(9):
    h, states = torch.zeros(4, 8), []
    for t in range(150):
        h = torch.tanh(cell(h))
        states.append(h)
    loss = torch.stack(states).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    "layers with parameters of their own": """
layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(40)])
optimizer = torch.optim.AdamW(layers.parameters())
for step in range(14):
    x = torch.randn(4, 16)
    for i in range(40):
        x = torch.relu(layers[i](x))
    optimizer.zero_grad()
    x.sum().backward()
    torch.nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
    optimizer.step()
""",
    "epochs whose last batches are smaller": """
from torch.utils.data import DataLoader, TensorDataset
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.AdamW(model.parameters())
train, test = (TensorDataset(torch.randn(rows, 8), torch.zeros(rows).long()) for rows in (250, 90))
for epoch in range(5):
    model.train()
    for step, (x, y) in enumerate(DataLoader(train, batch_size=16)):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 5 == 4:
            loss.item() * 2 + torch.ones(3).sum()
    model.eval()
    with torch.no_grad():
        for x, y in DataLoader(test, batch_size=16):
            correct = (model(x).argmax(1) == y).sum()
""",
    "a loop that an iterator ends": """
from torch.utils.data import DataLoader, TensorDataset
model = nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(torch.randn(600, 8)), batch_size=4)
for epoch in range(4):
    batches = iter(loader)
    while True:
        try:
            (x,) = next(batches)
        except StopIteration:
            break
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
""",
    "an iterator that begins anew where it ends": """
from torch.utils.data import DataLoader, TensorDataset
model = nn.Linear(8, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(torch.randn(60, 8)), batch_size=4)
batches, step = iter(loader), 0
while step < 140:
    try:
        (x,) = next(batches)
    except StopIteration:
        batches = iter(loader)
        (x,) = next(batches)
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()
    step += 1
""",
    "convolutions and a schedule in a function": """
def rate(step, total):
    return step / 10 if step < 10 else 1 - step / total
def train(total):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimizer = torch.optim.RMSprop(model.parameters())
    losses = []
    for step in range(total):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, total)
        loss = model(torch.randn(4, 3, 16, 16)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)
if __name__ == "__main__":
    train(90)
""",
}


def _counted(way: str, path: Path) -> dict[str, Any]:
    """Calls and FLOPs by operator and optimizer steps of a program that is run "whole" or "dry", in a process alone."""
    done = subprocess.run([sys.executable, str(TRUTH), way, str(path)], capture_output=True, text=True, check=True)
    counted: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counted


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("programs")
    for number, text in enumerate(PROGRAMS.values()):
        (folder / f"{number}.py").write_text(HEAD + text)
    whole, dry = _counted("whole", folder), _counted("dry", folder)
    return {name: (whole[f"{i}.py"], dry[f"{i}.py"]) for i, name in enumerate(PROGRAMS)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_calls_flops_and_steps_are_those_of_the_whole_program(name: str, both: dict[str, Any]) -> None:
    whole, dry = both[name]
    assert dry["guesses"] == []
    assert dry["steps"] == pytest.approx(whole["steps"])
    assert dry["flops"] == pytest.approx(whole["flops"], rel=0.02)
    assert sum(dry["calls"].values()) == pytest.approx(sum(whole["calls"].values()), rel=0.03)
    for op, calls in whole["calls"].items():
        if calls > 0.03 * sum(whole["calls"].values()):
            assert dry["calls"].get(op, 0) == pytest.approx(calls, rel=0.1), op


@pytest.mark.parametrize("name", PROGRAMS)
def test_few_calls_are_made(name: str, both: dict[str, Any]) -> None:
    _, dry = both[name]
    assert dry["made"] < sum(dry["calls"].values())


questions = st.builds(
    Question,
    slope=st.sampled_from([1, 2, -1]),
    start=st.integers(-5, 5),
    modulus=st.sampled_from([0, 2, 3, 7]),
    relation=st.sampled_from(["<", "<=", ">", ">=", "=="]),
    value=st.integers(-3, 40),
)


@given(length=st.integers(1, 60), asked=st.lists(questions, max_size=4))
def test_items_that_answer_alike_add_up_exactly(length: int, asked: list[Question]) -> None:
    """Where what an item does follows from the questions, the weighed sum is the sum over all items."""

    def does(item: int) -> tuple[bool, ...]:
        rest = [(q.slope * item + q.start) % q.modulus if q.modulus else q.slope * item + q.start for q in asked]
        holds = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__, "==": int.__eq__}
        return tuple(holds[q.relation](number, int(q.value)) for q, number in zip(asked, rest, strict=True))

    plan = LoopPlan(length)
    while (item := plan.next()) is not None:
        for question in asked:
            plan.ask(question)
        plan.did[item] = does(item)
    weights = plan.weights()
    assert sum(weights.values()) == pytest.approx(length)
    for number in range(len(asked)):
        true = sum(does(item)[number] for item in range(length))
        assert sum(weight for item, weight in weights.items() if does(item)[number]) == pytest.approx(true)


@given(item=st.integers(0, 1000), start=st.integers(-9, 9), other=st.integers(-50, 50), by=st.integers(2, 9))
def test_an_index_is_the_number_it_stands_for(item: int, start: int, other: int, by: int) -> None:
    noted: list[Question] = []
    index, plain = Index.of(item, 1, start, noted.append), item + start
    assert (index + other, other + index, index - other, index * by) == (
        plain + other,
        other + plain,
        plain - other,
        plain * by,
    )
    assert ((index + 1) % by == 0) == ((plain + 1) % by == 0)
    assert [index < other, index <= other, index > other, index >= other, index == other, index != other] == [
        plain < other,
        plain <= other,
        plain > other,
        plain >= other,
        plain == other,
        plain != other,
    ]
    assert f"{index:5d} {hash(index)}" == f"{plain:5d} {hash(plain)}"
    assert Question(slope=1, start=start + 1, modulus=by, value=0) in noted
