"""How far a program is, as it says so itself in what it writes: a line in, a counter out.

Progress bars (tqdm and what draws like it, Keras), counters of steps and epochs in lines (`step 120/5000`,
`iter 300: loss 2.1`, `Epoch: [3][120/5005]`, `Train Epoch: 3 [12800/60000 (21%)]`), and the one line of kilowait's own,
`kilowait progress 120/5000`, which goes before all others. What counts something else (validation, downloads,
sampling) is left out by the words before it. Every pattern takes time in proportion to a line, of which no more than
`MOST_CHARACTERS` are read; a pattern of the user's own is a template, not a regular expression, for the same reason.
"""

import re
from typing import NamedTuple

from kilowait.core.errors import InputError

MOST_CHARACTERS = 300
MOST_COUNT = 1e12
OWN = "kilowait progress"
KERAS = "drawn"
"""The words of a bar as Keras draws it, which has none."""
PATTERN_VARIABLE = "KILOWAIT_PROGRESS_PATTERN"
"""The variable in a job's environment that holds a template of its own."""

_NUMBER = r"\d{1,13}(?:\.\d{1,9})?[kKM]?"
_OWN = re.compile(r"^\s*kilowait[-_ ]progress[ =:]+(\d{1,13})(?:\s*/\s*(\d{1,13}))?\s*$", re.I)
_BAR = re.compile(rf"(\d{{1,3}})%\|[^|]{{0,200}}\|\s*({_NUMBER})/({_NUMBER}) ?\[?")
_DRAWN = re.compile(r"^\s*(\d{1,12})/(\d{1,12}) (?:\[[=>.\-# ]|[━─╸╺])")
_EPOCH = re.compile(r"epochs?\W{0,4}(\d{1,9}(?:\.\d{1,9})?)(?:\s*(?:/|of)\s*(\d{1,9}))?(?!\w)", re.I)
_WORDS = "step|steps|global_step|iter|iters|iteration|iterations|batch|it|episode|update|round|trial|progress"
_COUNT = re.compile(rf"\b(?:{_WORDS})\b\W{{0,4}}(\d{{1,12}})(?:\s*(?:/|of)\s*(\d{{1,12}}))?(?![\w.])", re.I)
_PAIR = re.compile(r"(?:^\s*|[\[(|]\s*)(\d{1,12})\s*/\s*(\d{1,12})(?![\w./])")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]{0,12}[A-Za-z]")
_OTHER = re.compile(
    r"valid|\bval\b|eval|test|sanity|sampl|download|upload|load|\bmap|token|filter|generat|sav|predict|prepar|shard"
    r"|cach|extract|infer|fetch|collat|packing|read|convert",
    re.I,
)
_AMOUNT = re.compile(r"\bmem|vram|\bacc|correct|alloc|\b[kmgt]i?b\b", re.I)
"""What a pair of numbers counts that no word of progress stands before."""
_FIELDS = {"step": "(?P<step>{n})", "total": "(?P<total>{n})", "epoch": "(?P<epoch>{n})", "epochs": "(?P<epochs>{n})"}


class StepCounter(NamedTuple):
    """What a line says: counters by their words, `(now, of)` from the outermost in, `of` 0 where it is not said.

    `drawn` is true of a bar, which counts what is done from 0.
    """

    label: str
    levels: tuple[tuple[float, float], ...]
    drawn: bool = False


class StepLines:
    """Reads lines, by a `template` of the user's own where one is given; raises InputError for one that cannot be."""

    def __init__(self, template: str = "") -> None:
        self._own = compiled(template) if template else None

    def read(self, line: str) -> StepCounter | None:
        """The counter in a line, None where there is none that counts the program's own steps."""
        line = _ESCAPES.sub("", line[-MOST_CHARACTERS:])
        if found := _OWN.match(line):
            return StepCounter(OWN, ((float(found[1]), float(found[2] or 0)),))
        if self._own is not None:
            return _by_template(self._own, line)
        counter = _drawn(line) or _written(line)
        if counter is None or any(not 0 <= now <= MOST_COUNT for now, _ in counter.levels):
            return None
        return counter if all(now <= of or not of for now, of in counter.levels) else None


def compiled(template: str) -> re.Pattern[str]:
    """The expression of a template: `step {step} of {total}`, with {epoch} and {epochs} too, and `*` for anything.

    Each part between two `*` is taken where it comes first, and each number whole, so that a line takes time in
    proportion to its length, whatever it holds. Raises InputError where it names no {step} and no {epoch}, or one
    twice, or has more than two `*`.
    """
    pieces = re.split(r"(\{step\}|\{total\}|\{epoch\}|\{epochs\}|\*)", template)
    names = [piece[1:-1] for piece in pieces if piece.startswith("{") and piece.endswith("}")]
    if not {"step", "epoch"} & set(names) or len(set(names)) < len(names) or pieces.count("*") > 2:
        raise InputError(
            f"progress pattern {template!r}: write it as a line of the program, with {{step}} or {{epoch}} once, "
            "{total} and {epochs} where they are said, and at most two * for what changes: step {step} of {total}"
        )
    fields = {f"{{{name}}}": text.format(n=r"\d{1,12}+") for name, text in _FIELDS.items()} | {"*": ")(?>.{0,80}?"}
    return re.compile(f"(?>{''.join(fields.get(piece) or re.escape(piece) for piece in pieces)})")


def _by_template(pattern: re.Pattern[str], line: str) -> StepCounter | None:
    found = pattern.search(line)
    if found is None:
        return None
    said = {name: float(text) for name, text in found.groupdict().items() if text is not None}
    outer = [(said["epoch"], said.get("epochs", 0.0))] if "epoch" in said else []
    inner = [(said["step"], said.get("total", 0.0))] if "step" in said else []
    return StepCounter(PATTERN_VARIABLE, (*outer, *inner))


def _drawn(line: str) -> StepCounter | None:
    """A progress bar; an epoch before it is the level around it."""
    if found := _BAR.search(line):
        before = line[max(0, found.start() - 80) : found.start()]
        level = (_count(found[2]), _count(found[3]))
        if _OTHER.search(before):
            return None
        epoch = _EPOCH.search(before)
        levels = ((float(epoch[1]), float(epoch[2] or 0)), level) if epoch else (level,)
        return StepCounter(_label("bar", before), levels, drawn=True)
    if found := _DRAWN.match(line):
        return StepCounter(KERAS, ((float(found[1]), float(found[2])),), drawn=True)
    return None


def _written(line: str) -> StepCounter | None:
    """Counters in a line of words: an epoch, a step, or a step of an epoch."""
    epoch = _EPOCH.search(line)
    rest = line[epoch.end() :] if epoch else line
    step = _COUNT.search(rest) or _pair(rest)
    first = epoch or step
    if first is None or _OTHER.search(line[: first.start()]):
        return None
    outer = ((float(epoch[1]), float(epoch[2] or 0)),) if epoch else ()
    inner = ((float(step[1]), float(step[2] or 0)),) if step and (step[2] or not epoch) else ()
    if step and epoch and not inner:
        return None
    return StepCounter(_label("line", line[: first.start()], first[0]), (*outer, *inner))


def _pair(text: str) -> re.Match[str] | None:
    found = _PAIR.search(text)
    return None if found is None or _AMOUNT.search(text[: found.end() + 12]) else found


def _label(kind: str, *texts: str) -> str:
    return kind + "".join(" " + " ".join(re.findall(r"[A-Za-z]+", text)[:4]).lower() for text in texts)[:60]


def _count(text: str) -> float:
    scale = {"k": 1e3, "K": 1e3, "M": 1e6}.get(text[-1], 1.0)
    return float(text.rstrip("kKM")) * scale
