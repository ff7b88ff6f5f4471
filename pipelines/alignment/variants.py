"""The twins in the forms that pipelines.alignment compares, each with what it took and what came of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kilowait.core.arrays import Mask
from kilowait.lab.align.aligner import Aligner
from kilowait.lab.align.checks import RewriteLimits, objection
from kilowait.lab.align.normalise import normalise_source
from kilowait.lab.align.rewriter import Rewriter
from kilowait.lab.corpus.twins import restyled
from kilowait.program.source import Source, source_from_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A text a twin (T); `training` (S) replaces the known scripts' texts where the probe is trained on others.

    `judged` says which twins count; `seconds` is what making a text took, measured; `valid` whether it passed the
    checks, `reasons` why not.
    """

    name: str
    how: str
    texts: list[str]
    training: list[str] | None = None
    judged: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))
    seconds: list[float] = field(default_factory=list)
    valid: list[bool] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Median latency and share of valid texts, None where nothing was rewritten."""
        return {
            "latency_s": float(np.median(self.seconds)) if self.seconds else None,
            "valid": sum(self.valid) if self.valid else None,
            "tried": len(self.valid) if self.valid else None,
            "reasons": self.reasons,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStyles:
    """Which corpus the twins come from, and the style of the known script nearest to each twin (T)."""

    corpus_count: int
    corpus_seed: int
    nearest_styles: list[str]


def as_they_are(name: str, texts: Sequence[str], judged: Sequence[bool] | None = None) -> Variant:
    """Texts that nothing was done to; `judged` says which of them count (default: all)."""
    mask = np.ones(len(texts), dtype=bool) if judged is None else np.array(judged)
    return Variant(name=name, how="as written", texts=list(texts), judged=mask)


def normalised(twins: Sequence[str], known: Sequence[str] | None) -> list[Variant]:
    """Twins through the normaliser, for a probe trained on the originals and for one on `known`, normalised too."""
    texts, seconds, reasons = [], [], []
    for text in twins:
        started = time.perf_counter()
        outcome = normalise_source(_source("twin", text))
        seconds.append(time.perf_counter() - started)
        texts.append(outcome.source.text)
        reasons += [outcome.reason] if outcome.reason else []
    all_twins = np.ones(len(texts), dtype=bool)
    how = "deterministic normaliser, no language model"
    shared: dict[str, Any] = {"texts": texts, "judged": all_twins, "seconds": seconds, "reasons": reasons}
    variants = [Variant(name="normalised, probe trained on originals", how=how, **shared)]
    if known is not None:
        training = [normalise_source(_source("known", text)).source.text for text in known]
        variants.append(Variant(name="normalised, probe trained on normalised", how=how, training=training, **shared))
    return variants


def by_generator(twins: Sequence[Mapping[str, Any]], twin_texts: Sequence[str], world: KnownStyles) -> Variant:
    """What a rewriter without mistakes would hand back: the corpus generator writes the twin's program again.

    It is no language model and no aligner: it knows the program. The style is that of the nearest known script. Its
    texts do the twins' work, so those that the static check turns down are turned down wrongly.
    """
    names = [twin["original_path"] for twin in twins]
    texts = restyled(names, world.nearest_styles, world.corpus_count, world.corpus_seed)
    reasons = [objection(twin, text, RewriteLimits()) for twin, text in zip(twin_texts, texts, strict=True)]
    return Variant(
        name="restyled by the corpus generator",
        how="bound for a rewriter: rendered again in the nearest known script's style; no language model",
        texts=texts,
        judged=np.ones(len(texts), dtype=bool),
        valid=[reason is None for reason in reasons],
        reasons=[reason for reason in reasons if reason],
    )


def by_rewriter(
    rewriter: Rewriter, twins: Sequence[str], neighbours: Sequence[str], count: int | None, cache: Path
) -> Variant:
    """Twins through the aligner; what fails a check, and what was not asked for, stays as it is.

    Only the twins asked for are judged.
    """
    twin_count = len(twins) if count is None else min(count, len(twins))
    texts, seconds, valid, reasons = list(twins), [], [], []
    for i in tqdm(range(twin_count), desc="rewrite", unit="twin"):
        example = _source("nearest known program", neighbours[i])
        aligner = Aligner(rewriter=rewriter, nearest=lambda _, e=example: e, enabled=True, cache=cache)
        alignment = aligner.align(_source("twin", twins[i]))
        texts[i] = alignment.source.text
        seconds.append(alignment.elapsed_s)
        valid.append(alignment.aligned)
        reasons += [alignment.reason] if alignment.reason else []
    return Variant(
        name=f"aligned by {rewriter.name}",
        how="language model; a rewrite that fails a check is dropped",
        texts=texts,
        judged=np.arange(len(twins)) < twin_count,
        seconds=seconds,
        valid=valid,
        reasons=reasons,
    )


def _source(name: str, text: str) -> Source:
    return source_from_bytes(name, text.encode())
