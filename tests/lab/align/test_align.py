"""Alignment: what a rewriter is asked, what of its answers is believed, and that nothing else ever leaves."""

import dataclasses

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.align.aligner import Aligner
from kilowait.lab.align.checks import RewriteLimits, objection
from kilowait.lab.align.facts import differences, key_facts
from kilowait.lab.align.local import LocalRewriter
from kilowait.lab.align.rewriter import Ask, RewriteError, code_of
from kilowait.program.source import Source, source_from_bytes

pytestmark = pytest.mark.torch  # the local rewriter loads it
JOB = """\
import torch
from torch import nn

batch_size, epochs = 48, 3
net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)).to("cuda")
opt = torch.optim.AdamW(net.parameters(), lr=3e-4)
for epoch in range(epochs):
    x = torch.randn(batch_size, 784, device="cuda", dtype=torch.bfloat16)
    loss = net(x).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
SAME = JOB.replace("net", "model").replace("opt ", "optimizer ").replace("opt.", "optimizer.")
NEIGHBOUR = source_from_bytes("known.py", b"import torch\nmodel = torch.nn.Linear(8, 8)\n")


@dataclasses.dataclass
class Recorded:
    """Answers with what a test wrote down; it is no language model."""

    answers: list[object]
    name: str = "recorded"
    asked: list[Ask] = dataclasses.field(default_factory=list)

    def rewrite(self, ask: Ask) -> str:
        self.asked.append(ask)
        answer = self.answers[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)


@dataclasses.dataclass
class Work:
    flops: float
    bytes: float = 100.0
    kernels: float = 10.0


def job(text: str = JOB) -> Source:
    return source_from_bytes("job.py", text.encode())


def aligner(rewriter: Recorded, **more: object) -> Aligner:
    return Aligner(rewriter=rewriter, nearest=lambda source: NEIGHBOUR, **{"enabled": True, **more})  # type: ignore[arg-type]


def test_facts_are_read_off_the_program():
    facts = key_facts(JOB)
    assert facts.frameworks == ("torch",)
    assert facts.layers == {"Linear": 2}
    assert facts.optimizers == ("AdamW",)
    assert facts.precision == ("bfloat16",)
    assert facts.uses_gpu
    assert facts.numbers == {48, 3, 784, 300, 10, 3e-4}
    named = key_facts("BATCH_SIZE = 64\ndef train(num_steps=120, *, epochs=7):\n return epochs\ntrain(BATCH_SIZE)\n")
    assert (named.batch_size, named.steps, named.epochs) == (64, 120, 7)
    parsed = key_facts('p.add_argument("--batch-size", type=int, default=32)\np.add_argument("--seed", default=99)\n')
    assert parsed.batch_size == 32
    assert parsed.numbers == {32}


def test_facts_ignore_names_comments_dead_code_seeds_and_logging():
    noise = '"""Trains 9000 layers."""\nHIDDEN = 4096\ndef never():\n    return torch.nn.Linear(7, 7)\n'
    other = SAME.replace("import torch\n", f"import torch\n{noise}torch.manual_seed(123)\n", 1) + "print('step', 50)\n"
    assert differences(key_facts(JOB), key_facts(other)) == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("300", "301", "numbers: lost [300], new [301]"),
        ("nn.Linear(300, 10)", "nn.Linear(300, 10), nn.LayerNorm(10)", "layers"),
        ("AdamW", "SGD", "optimizers"),
        ("torch.bfloat16", "torch.float32", "precision"),
        ("    loss.backward()\n", "", "operations"),
        ("cuda", "cpu", "uses_gpu"),
    ],
)
def test_a_rewrite_with_other_facts_is_turned_down_by_name(old, new, named):
    assert named in str(objection(JOB, JOB.replace(old, new), RewriteLimits()))


def test_a_rewrite_must_parse_hold_code_and_keep_its_length():
    assert objection(JOB, SAME, RewriteLimits()) is None
    assert "does not parse" in str(objection(JOB, "def f(:\n", RewriteLimits()))
    assert "holds no code" in str(objection(JOB, "# nothing\n", RewriteLimits()))
    assert "too long" in str(objection(JOB, JOB + "# x\n" * 2000, RewriteLimits()))
    with pytest.raises(InputError, match="a share below 1"):
        RewriteLimits(cost_tolerance=2)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (Work(1010.0), None),
        (Work(1030.0), "flops 1030 against 1000"),
        (Work(1000.0, bytes=50), "bytes 50 against 100"),
        (Work(1000.0, kernels=11), "kernels 11 against 10"),
        (Work(float("nan")), "flops nan"),
        (None, "the dry run does not follow it"),
    ],
)
def test_costs_decide_where_a_dry_run_follows_the_original(after, verdict):
    costs = {JOB: Work(1000.0), SAME: after}
    found = objection(JOB, SAME, RewriteLimits(), costs=costs.__getitem__)
    assert found is None if verdict is None else verdict in str(found)


def test_costs_overrule_facts_and_facts_step_in_where_there_are_none():
    inlined = JOB.replace("range(epochs)", "range(3)").replace(", epochs = 48, 3", " = 48 + 0 * 999")
    assert "numbers" in str(objection(JOB, inlined, RewriteLimits()))
    assert objection(JOB, inlined, RewriteLimits(), costs=lambda text: Work(5.0)) is None
    assert "numbers" in str(objection(JOB, inlined, RewriteLimits(), costs=lambda text: None))


def test_alignment_is_off_unless_asked_for():
    rewriter = Recorded([SAME])
    found = Aligner(rewriter=rewriter, nearest=lambda source: NEIGHBOUR).align(job())
    assert (found.source, found.aligned, found.reason) == (job(), False, "alignment is off")
    assert rewriter.asked == []


def test_a_good_rewrite_replaces_the_source_for_features():
    rewriter = Recorded([f"Sure!\n```python\n{SAME}```\nDone."])
    found = aligner(rewriter).align(job())
    assert found.aligned
    assert found.source.text == SAME
    assert found.source.content_hash != job().content_hash
    assert found.example == "known.py"
    assert rewriter.asked[0].example == NEIGHBOUR.text
    assert "- layers: 2 x Linear" in rewriter.asked[0].facts


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot do that.", "does not parse"),
        (SAME.replace("range(epochs)", "range(4000)"), "lost [], new [4000]"),
        (RewriteError("endpoint: 503"), "endpoint: 503"),
    ],
)
def test_whatever_goes_wrong_the_original_is_used_and_the_reason_told(answer, reason):
    found = aligner(Recorded([answer])).align(job())
    assert not found.aligned
    assert found.source == job()
    assert reason in str(found.reason)


def test_a_source_that_is_not_python_is_not_sent():
    rewriter = Recorded([SAME])
    found = aligner(rewriter).align(job("print 'hello'\n"))
    assert rewriter.asked == []
    assert "not Python" in str(found.reason)


def test_secrets_stay_here_and_stand_in_the_rewrite_again():
    secret = "hunter2-Tr0ub4dor"
    private = JOB + f'password = "{secret}"\nlogin(password)\n'

    class Echo(Recorded):
        def rewrite(self, ask: Ask) -> str:
            super().rewrite(ask)
            return ask.source.replace("net", "model")

    rewriter = Echo([""])
    found = aligner(rewriter).align(job(private))
    assert secret not in rewriter.asked[0].source + rewriter.asked[0].facts
    assert found.aligned
    assert secret in found.source.text


def test_a_rewrite_is_asked_for_once_and_a_damaged_one_again(tmp_path):
    rewriter = Recorded([SAME, SAME, "x ="])
    first = aligner(rewriter, cache=tmp_path).align(job())
    again = aligner(rewriter, cache=tmp_path).align(job())
    assert len(rewriter.asked) == 1
    assert (first.kept, again.kept) == (False, True)
    assert again.source == first.source
    assert again.elapsed_s == first.elapsed_s
    (kept,) = tmp_path.iterdir()
    kept.write_text("half a fi")
    assert not aligner(rewriter, cache=tmp_path).align(job()).kept
    assert len(rewriter.asked) == 2
    other = aligner(dataclasses.replace(rewriter, name="another model"), cache=tmp_path).align(job())
    assert "does not parse" in str(other.reason)


def test_the_longest_code_block_is_the_program():
    assert code_of("```\nx\n```\ntext\n```python\nlonger = 1\n```") == "longer = 1\n"
    assert code_of("plain = 1") == "plain = 1\n"


def test_the_local_model_answers_and_what_it_cannot_read_is_an_error():
    rewriter = LocalRewriter(max_tokens=12)
    ask = Ask(source="x = 1\n", example="y = 2\n", facts="- framework: torch")
    answer = rewriter.rewrite(ask)
    assert answer.strip()
    assert rewriter.rewrite(ask) == answer
    with pytest.raises(RewriteError, match=r"exceed its 8192; use a model with a longer context"):
        rewriter.rewrite(dataclasses.replace(ask, source="value = 12345\n" * 2000))
    found = Aligner(rewriter=rewriter, nearest=lambda source: NEIGHBOUR, enabled=True).align(job())
    assert not found.aligned
    assert found.source == job()
