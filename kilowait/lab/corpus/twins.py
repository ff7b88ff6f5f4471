"""Twins of a corpus: scripts with the work of a known one, written differently on purpose.

A twin is rendered from its original's family, hyperparameters, additions and random seed in another style, then
disguised. Equal work holds by construction; as both seed their random numbers alike, both also print the same result.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kilowait.core.errors import InputError
from kilowait.lab.corpus.disguise import DISGUISES, disguise
from kilowait.lab.corpus.family import Value
from kilowait.lab.corpus.generate import PlannedScript, plan, script_of
from kilowait.lab.corpus.render import render, seed_written
from kilowait.lab.corpus.styles import STYLES
from kilowait.program.source import content_hash

PLAIN_SHARE = 0.2
"""Part of the twins that are restyled and nothing else; the others wear two to four disguises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """One twin: its text and what it was made of.

    `original` is the content hash of the known script with the same work.
    """

    name: str
    text: str
    content_hash: str
    original: str
    original_name: str
    original_text: str
    family: str
    style: str
    disguises: tuple[str, ...]
    hyperparameters: Mapping[str, Value]


def twins(count: int, seed: int, corpus_count: int, corpus_seed: int = 0) -> Iterator[Twin]:
    """`count` twins of originals spread evenly over the families of the corpus; deterministic in both seeds.

    Raises InputError when the corpus has fewer scripts than twins are asked for.
    """
    if not 1 <= count <= corpus_count:
        raise InputError(f"twins must be 1 to {corpus_count}, the scripts of the corpus; got {count}")
    originals = _originals(list(plan(corpus_count, corpus_seed)), count, random.Random(f"{seed}/originals"))
    return (_twin(planned, f"{seed}/twin/{planned.key}") for planned in originals)


def restyled(names: Sequence[str], styles: Sequence[str], corpus_count: int, corpus_seed: int = 0) -> list[str]:
    """The named scripts of a corpus written again by the generator, each in the style beside it, undisguised.

    The generator knows what a script does, so this is what a rewriter that makes no mistake would hand back. Raises
    InputError for a name that the corpus lacks.
    """
    plans = {f"{p.family.name}_{p.number:03d}.py": p for p in plan(corpus_count, corpus_seed)}
    missing = [name for name in names if name not in plans]
    if missing:
        raise InputError(f"no script of the corpus is named {missing[0]!r}; give its --count and --seed")
    pairs = zip(names, styles, strict=True)
    return [restyle(plans[name], style, f"restyled/{plans[name].key}/{style}") for name, style in pairs]


def restyle(planned: PlannedScript, style: str, key: str) -> str:
    """The planned script in `style`, otherwise drawn from `key`: same work, same random seed."""
    draw = planned.draw
    values = {**draw.hyperparameters, "seed": seed_written(planned.text_key)}
    return render(planned.family, values, draw.recipe, style, key)


def _originals(planned: Sequence[PlannedScript], count: int, rng: random.Random) -> list[PlannedScript]:
    """One of each family in turn, in random order."""
    waiting = rng.sample(planned, k=len(planned))
    rank: dict[str, int] = {}
    order: list[tuple[int, int, PlannedScript]] = []
    for script in waiting:
        rank[script.family.name] = rank.get(script.family.name, 0) + 1
        order.append((rank[script.family.name], len(order), script))
    return [script for _, _, script in sorted(order, key=lambda item: item[:2])[:count]]


def _twin(planned: PlannedScript, key: str) -> Twin:
    rng = random.Random(key)
    original = script_of(planned, "cpu")
    style = rng.choice([style for style in STYLES if style != planned.draw.style])
    plain = rng.random() < PLAIN_SHARE
    names = () if plain else tuple(sorted(rng.sample(list(DISGUISES), rng.randint(2, 4))))
    text = disguise(restyle(planned, style, f"{key}/{style}"), names, rng)
    return Twin(
        name=f"{original.name.removesuffix('.py')}_twin.py",
        text=text,
        content_hash=content_hash(text.encode()),
        original=original.content_hash,
        original_name=original.name,
        original_text=original.text,
        family=original.family,
        style=style,
        disguises=names,
        hyperparameters=original.hyperparameters,
    )
