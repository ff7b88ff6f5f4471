"""What programs write about how far they are, as they really write it."""

import time

import pytest

import kilowait
from kilowait.core.errors import InputError
from kilowait.live.pace import positions
from kilowait.measure.step_clock import StepClock, StepFile, read_steps
from kilowait.measure.step_lines import StepLines

COUNTERS = {
    "KILOWAIT_PROGRESS 120/5000": ((120, 5000),),
    "step 120/5000 loss 2.31": ((120, 5000),),
    "Step: 5 / 58, loss: 7.791": ((5, 58),),
    "iter 300: loss 2.1032, time 35.20ms, mfu 1.2%": ((300, 0),),
    "Epoch [3/90][120/5005]": ((3, 90), (120, 5005)),
    "Epoch: [3][ 120/5005]\tTime  0.104 ( 0.110)\tLoss 6.9e+00": ((3, 0), (120, 5005)),
    "[Epoch 3/20] [Batch 120/400] [D loss: 0.51] [G loss: 1.2]": ((3, 20), (120, 400)),
    "Train Epoch: 3 [12800/60000 (21%)]\tLoss: 0.312": ((3, 0), (12800, 60000)),
    "| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch 12.3": ((1, 0), (200, 2983)),
    "Epoch 7/60: train_loss=0.4 val_loss=0.5": ((7, 60),),
    "Episode 30/500\treward 12.5": ((30, 500),),
    "[10/165] loss=2.320": ((10, 165),),
    "Iter(train) [ 50/1000]  lr: 1.0e-03  eta: 0:12:01": ((50, 1000),),
    " 12%|█▏        | 25/200 [00:10<01:10,  2.50it/s]": ((25, 200),),
    "loss: 0.0231:  12%|█▏  | 1.2k/10.0k [00:10<01:10,  2.50it/s]": ((1200, 10000),),
    "Epoch 3:  45%|████▌     | 45/100 [00:01<00:01, 40.00it/s, v_num=0]": ((3, 0), (45, 100)),
    "120/500 [=====>....] - ETA: 12s - loss: 0.4": ((120, 500),),
    "\x1b[1m120/500\x1b[0m \x1b[32m━━━━━\x1b[0m 1s 3ms/step": ((120, 500),),
    "{'loss': 0.51, 'learning_rate': 4.5e-05, 'epoch': 0.32}": ((0.32, 0),),
}
OTHERS = (
    "Validation DataLoader 0:  45%|████▌  | 45/100 [00:01<00:01, 40.00it/s]",
    "Sanity Checking DataLoader 0: 100%|███| 2/2 [00:00<00:00]",
    "Downloading (…): 12%|█▏ | 25/200 [00:10<01:10]",
    "Test: [ 10/50]\tLoss 0.3",
    "Test set: Average loss: 0.05, Accuracy: 9840/10000 (98%)",
    "started 2026/11/30 at /data/3/4",
    "{'eval_loss': 0.51, 'epoch': 0.32}",
    "step 12/5",
    "mem [ 7012 / 81559 ] MiB",
    "9012/10000 correct",
    "7.1 GB (3/64 GB)",
    "loss 0.5",
    "",
)


@pytest.mark.parametrize("line", COUNTERS)
def test_a_counter_is_read(line):
    assert StepLines().read(line).levels == COUNTERS[line]


@pytest.mark.parametrize("line", OTHERS)
def test_what_counts_something_else_is_left_alone(line):
    assert StepLines().read(line) is None


def test_a_template_of_the_users_own_goes_before_all_patterns():
    lines = StepLines("done {step} of {total} in epoch {epoch}")
    assert lines.read("worker 3: done 12 of 50 in epoch 2").levels == ((2, 0), (12, 50))
    assert lines.read("step 3/4") is None
    assert StepLines("(a+)+ * {step}$").read("x (a+)+ ... 7$").levels == ((7, 0),)


@pytest.mark.parametrize(
    "template",
    ["*{step}*{total}{epoch}{epochs}x", "{step}*{total}*x", "*1*1{step}x", "{step}1{total}1{epoch}1{epochs}x"],
)
def test_a_line_that_is_made_for_a_template_costs_next_to_nothing(template):
    """The guard that reads it is the one that keeps the job's time limit."""
    lines, began_s = StepLines(template), time.process_time()
    assert lines.read("1" * 300) is None
    assert time.process_time() - began_s < 0.1


@pytest.mark.parametrize(
    ("template", "line", "levels"),
    [
        ("epoch*{step}/{total}", "epoch 3 loss 0.5 at 7/10", ((7, 10),)),
        ("* {step} of *{total}", "so far 12 of the 120", ((12, 120),)),
        ("e{epoch}/{epochs}*b{step}/{total}", "e2/5 bb b7/10", ((2, 5), (7, 10))),
        ("[{step}]*", "[12]", ((12, 0),)),
    ],
)
def test_a_star_stands_for_as_little_as_it_may(template, line, levels):
    assert StepLines(template).read(line).levels == levels


@pytest.mark.parametrize("template", ["no field", "{step} {step}", "* {step} * *", "{total}"])
def test_a_template_that_cannot_be_is_refused(template):
    with pytest.raises(InputError, match="progress pattern"):
        StepLines(template)


def test_long_and_odd_lines_take_no_time():
    began_s, lines = time.process_time(), StepLines("* {step} * of {total}")
    for text in (
        "epoch " * 20_000,
        "[" * 100_000,
        "1/" * 50_000,
        "step " + "9" * 100_000,
        "%|" * 50_000,
        " of 1" * 9999,
    ):
        for reader in (StepLines(), lines):
            reader.read(text)
    assert time.process_time() - began_s < 1.0


def played(*lines, known=0.0):
    clock = StepClock()
    for count, line in enumerate(lines):
        clock.write(f"{line}\n".encode(), 10.0 * count + 10.0)
    marks, total = positions(clock.record(), known)
    return [done for _, done in marks], total


def test_rounds_count_from_where_the_program_counts_them():
    assert played(*(f"Epoch: [{e}/6][{i}/20]" for e in (0, 1) for i in (5, 10))) == ([5, 10, 25, 30], 120)
    assert played(*(f"Epoch: [{e}/6][{i}/20]" for e in (1, 2) for i in (5, 10))) == ([5, 10, 25, 30], 120)


def test_rounds_that_are_not_said_follow_from_the_steps_of_the_whole():
    lines = [f"Epoch: [{e}][{i}/20]" for e in (0, 1) for i in (5, 10)]
    assert played(*lines) == ([5, 10, 25, 30], None)
    assert played(*lines, known=120) == ([5, 10, 25, 30], 120)
    assert played("iter 10: loss 2", "iter 20: loss 2", known=50) == ([10, 20], 50)


def test_a_bar_that_begins_anew_is_a_round():
    bars = [f" 50%|#  | {i}/20 [00:01<00:01]" for _ in range(2) for i in (5, 10)]
    assert played("Epoch 1/9", *bars) == ([5, 10, 25, 30], 180)


def test_epochs_alone_count_when_they_end():
    assert played(*(f"Epoch {e}/40: loss 0.3" for e in (1, 2, 3))) == ([1, 2, 3], 40)
    assert played(*(f"Epoch {e}/40: loss 0.3" for e in (0, 1, 2))) == ([1, 2, 3], 40)


def test_the_counter_that_takes_the_time_counts_and_the_own_line_before_it():
    lines = [*(f"item {n}/5 done" for n in range(5)), *(f"step {n}/100" for n in range(1, 9))]
    assert played(*lines) == ([1, 2, 3, 4, 5, 6, 7, 8], 100)
    assert played(*lines, "KILOWAIT_PROGRESS 3/7") == ([3], 7)


def test_what_is_kept_is_bounded_and_keeps_both_ends():
    clock = StepClock()
    for n in range(1, 5001):
        clock.write(f"step {n}/5000\n".encode(), float(n))
    for n in range(300):
        clock.write(f"{chr(97 + n % 26)}{chr(97 + n // 26)} step 1/{n + 2}\n".encode(), 5000.0 + n / 1000)
    marks = clock.record().marks
    assert len(marks) <= 400
    assert (marks[0], marks[-1]) == ((1.0, 0, 1), (5000.0, 0, 5000))


@pytest.mark.parametrize(
    ("runs", "total", "line"), [("j", 7, "kilowait progress 3/7\n"), ("j", None, "kilowait progress 3\n"), ("", 7, "")]
)
def test_the_own_line_is_printed_under_a_service_and_nowhere_else(runs, total, line, monkeypatch, capsys):
    monkeypatch.setenv("KILOWAIT_JOB_ID", runs) if runs else monkeypatch.delenv("KILOWAIT_JOB_ID", raising=False)
    kilowait.progress(3, total)
    assert capsys.readouterr().out == line
    assert not line or StepLines().read(line.strip()).levels == ((3, total or 0),)


def test_a_file_that_cannot_be_written_costs_a_program_nothing(tmp_path):
    kept = StepFile(tmp_path / "gone" / "steps.json", "", 0.0)
    kept.write(b"step 1/10\n", 1.0)
    (tmp_path / "gone").mkdir()
    kept.write(b"step 2/10\n", 9.0)
    assert read_steps(tmp_path / "gone" / "steps.json").marks[-1][2] == 2


def test_epochs_that_begin_anew_with_each_fold_are_no_rounds_of_themselves():
    clock = StepClock()
    for at_s in range(30):
        clock.write(f"epoch {at_s % 10 + 1}/10\n".encode(), float(at_s + 1))
    marks, total = positions(clock.record())
    assert (marks[-1][1], total) == (30, None)  # nobody says how many folds there are
    assert positions(clock.record(), known=50)[1] == 50


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"{",
        b'{"words": "step", "marks": []}',
        b'{"words": "step", "steps": -5, "marks": [[1, 0, 1]]}',
        b'{"words": "step", "rounds": 1e308, "marks": [[1, 0, 1]]}',
        b'{"words": "step", "marks": [[5, 0, 1], [4, 0, 2]]}',
        b'{"words": "step", "marks": [[4, 0, 2], [5, 0, 1]]}',
        b'{"words": "step", "marks": [' + b",".join([b"[1, 0, 1]"] * 500) + b"]}",
        b" " * 10_000_000,
    ],
)
def test_a_record_that_no_clock_has_written_is_none(forged, tmp_path):
    """A job that is not kept apart may write there what it likes, and a fault in the scheduler would be everybody's."""
    (tmp_path / "steps.json").write_bytes(forged)
    assert read_steps(tmp_path / "steps.json") is None
