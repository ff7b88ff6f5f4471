"""Training loops of installed packages: as many steps as the package itself would make."""

from types import SimpleNamespace

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.frameworks import savers
from kilowait.predict.dryrun.record import Completeness, DryRun

ACCELERATE = """
import torch
from accelerate import Accelerator
acc = Accelerator(mixed_precision="fp16", gradient_accumulation_steps={accumulation})
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn({examples}, 512)), batch_size=32)
net = torch.nn.Linear(512, 512)
opt = torch.optim.AdamW(net.parameters())
schedule = torch.optim.lr_scheduler.StepLR(opt, 1)
net, opt, data, schedule = acc.prepare(net, opt, data, schedule)
for epoch in range({epochs}):
    for (x,) in data:
        with acc.accumulate(net):
            loss = net(x).square().mean()
            acc.backward(loss)
            if acc.sync_gradients:
                acc.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            schedule.step()
            opt.zero_grad()
        acc.gather_for_metrics(loss)
    acc.save_state("out")
"""

TRAINER = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
net = BertForSequenceClassification(BertConfig(
    num_hidden_layers=1, hidden_size=64, num_attention_heads=2, intermediate_size=128, vocab_size=100))
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, i):
        return {{"input_ids": torch.arange(16), "attention_mask": torch.ones(16, dtype=torch.long), "labels": 1}}
arguments = TrainingArguments(
    "out", per_device_train_batch_size=8, gradient_accumulation_steps=4, logging_steps=10, report_to=[], {more})
trainer = Trainer(net, arguments, train_dataset=Data(), eval_dataset=Data())
trainer.train()
assert trainer.state.global_step == {steps}, trainer.state.global_step
"""


def _run(runner: DryRunner, text: str) -> DryRun:
    run = runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))
    assert run.completeness == Completeness.WHOLE, run.reason
    return run


@pytest.mark.parametrize(
    ("accumulation", "examples", "epochs", "steps"),
    [(4, 1024, 2, 16), (1, 3200, 3, 300), (8, 1000, 1, 4), (5, 1000, 2, 14)],  # the end of the data is always a step
)
def test_steps_of_accelerate(runner: DryRunner, accumulation: int, examples: int, epochs: int, steps: int) -> None:
    run = _run(runner, ACCELERATE.format(accumulation=accumulation, examples=examples, epochs=epochs))
    assert run.steps == steps
    products = sum(op.count * op.flops for op in run.operations if op.kind == "gemm")
    assert products == pytest.approx(epochs * examples * 2 * 2 * 512 * 512, rel=0.01)
    assert {op.dtype for op in run.operations if op.kind == "gemm"} == {"float16"}


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ("num_train_epochs=3", 96),  # 125 batches of which four make a step: 32 an epoch
        ("num_train_epochs=2, eval_strategy='steps', eval_steps=20, save_strategy='epoch'", 64),
        ("max_steps=20", 20),
    ],
)
def test_steps_of_the_trainer(runner: DryRunner, more: str, steps: int) -> None:
    assert _run(runner, TRAINER.format(more=more, steps=steps)).steps == steps


def test_lightning_goes_on_from_a_best_checkpoint_of_its_own_that_was_not_written() -> None:
    class _CheckpointConnector:
        trainer = SimpleNamespace(checkpoint_callbacks=[SimpleNamespace(best_model_path="best.ckpt")])

        def resume_start(self, checkpoint_path: str | None = None, weights_only: bool | None = None) -> str:
            return f"read {checkpoint_path} {weights_only}"

    savers._go_on(SimpleNamespace(_CheckpointConnector=_CheckpointConnector))
    assert _CheckpointConnector().resume_start("best.ckpt", weights_only=None) is None
    assert _CheckpointConnector().resume_start("mine.ckpt", weights_only=True) == "read mine.ckpt True"
