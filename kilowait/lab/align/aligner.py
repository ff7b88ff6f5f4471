"""From a source to one that the probe knows better: the nearest known program, a rewrite in its style, its checks.

Whatever fails, the original is used and the reason is told. Rewrites are kept by a hash over the source, the example,
the rewriter and the instruction, so the same source is sent once.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kilowait.core.errors import SourceError
from kilowait.files.atomic import write_text
from kilowait.lab.align.checks import CostModel, RewriteLimits, objection
from kilowait.lab.align.facts import key_facts
from kilowait.lab.align.redaction import redact
from kilowait.lab.align.rewriter import SYSTEM, Ask, RewriteError, Rewriter, code_of, prompt
from kilowait.program.source import Source, content_hash

Nearest = Callable[[Source], Source]
"""The known program most like a source (ood.py knows which)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The source to read features from; `reason` says why it is the original.

    `elapsed_s` is what the rewriter took, when it was asked; `kept` says that its answer was kept from then.
    """

    source: Source
    aligned: bool
    reason: str | None = None
    example: str | None = None
    elapsed_s: float = 0.0
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligner:
    """Rewrites sources with `rewriter` after the style of what `nearest` finds, when `enabled`.

    It is off by default: a rewriter may run elsewhere, and code is private. Even then secrets stay here. `cache` is a
    folder; without one nothing is kept.
    """

    rewriter: Rewriter
    nearest: Nearest
    enabled: bool = False
    limits: RewriteLimits = field(default_factory=RewriteLimits)
    costs: CostModel | None = None
    cache: Path | None = None

    def align(self, source: Source) -> Alignment:
        """The source in a known style, or itself; raises nothing for what a rewriter or a source does."""
        if not self.enabled:
            return Alignment(source=source, aligned=False, reason="alignment is off")
        example = self.nearest(source)
        redacted, redacted_example = redact(source.text), redact(example.text)
        try:
            ask = Ask(
                source=redacted.text, example=redacted_example.text, facts=redact(key_facts(source.text).as_text()).text
            )
            answer, elapsed_s, from_cache = self._answer(ask)
        except (SourceError, RewriteError) as error:
            return Alignment(source=source, aligned=False, reason=str(error), example=example.name)
        text = redacted.restore(code_of(answer))
        reason = objection(source.text, text, self.limits, self.costs)
        result = source if reason else Source(name=source.name, text=text, content_hash=content_hash(text.encode()))
        return Alignment(
            source=result,
            aligned=reason is None,
            reason=reason,
            example=example.name,
            elapsed_s=elapsed_s,
            kept=from_cache,
        )

    def _answer(self, ask: Ask) -> tuple[str, float, bool]:
        """The rewriter's answer to a redacted request, its seconds, and whether it comes from the cache."""
        path = None if self.cache is None else self.cache / f"{self._key(ask)}.json"
        cached = _read(path)
        if cached is not None:
            return *cached, True
        start_s = time.perf_counter()
        answer = self.rewriter.rewrite(ask)
        elapsed_s = time.perf_counter() - start_s
        if path is not None:
            _write(path, answer, self.rewriter.name, elapsed_s)
        return answer, elapsed_s, False

    def _key(self, ask: Ask) -> str:
        parts = [self.rewriter.name, SYSTEM, prompt(ask)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(path: Path | None) -> tuple[str, float] | None:
    """The kept answer and its seconds; a damaged file counts as none, and is written anew."""
    if path is None or not path.is_file():
        return None
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return str(entry["answer"]), float(entry["elapsed_s"])
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, answer: str, rewriter: str, elapsed_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"rewriter": rewriter, "elapsed_s": elapsed_s, "answer": answer}
    write_text(path, json.dumps(entry))
