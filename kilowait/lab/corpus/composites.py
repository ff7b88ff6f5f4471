"""Composite tasks: scripts that do several families' work one after the other, as the paper's composite tests do.

Members are drawn and rendered like scripts of their own, all in one style, then put into one file (`joining`). Each
seeds its random numbers itself, so each prints what it prints alone.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kilowait.lab.corpus.catalogue import FAMILIES
from kilowait.lab.corpus.draft import choose_recipe
from kilowait.lab.corpus.family import Family, Hyperparameters
from kilowait.lab.corpus.generate import GeneratedScript, Scale
from kilowait.lab.corpus.joining import joined
from kilowait.lab.corpus.render import render
from kilowait.lab.corpus.styles import STYLES
from kilowait.program.source import content_hash

_SERVING = ("cnn_inference", "embedding_service", "text_generation")
SERVING = tuple(family for family in FAMILIES if family.name in _SERVING)
"""Families that only answer requests."""
TRAINING = tuple(family for family in FAMILIES if family.name not in _SERVING)
"""All others."""
KINDS: Mapping[str, tuple[int, int]] = {
    "composite_train_serve": (1, 1),
    "composite_train_train": (2, 0),
    "composite_train_train_serve": (2, 1),
}
"""How many members train and how many serve after them; composites take the kinds in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One task of a composite: what was drawn for it, and the script that does it alone."""

    family: Family
    hyperparameters: Hyperparameters
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """A composite script and its members in the order in which they run."""

    script: GeneratedScript
    members: tuple[Member, ...]


def composites(count: int, seed: int, scale: Scale = "cpu") -> Iterator[Composite]:
    """`count` composites, the same for the same seed on any machine; fewer are the first of more."""
    rng = random.Random(f"{seed}/composites")
    training: list[Family] = []
    serving: list[Family] = []
    for index in range(count):
        kind = list(KINDS)[index % len(KINDS)]
        train, serve = KINDS[kind]
        families = [*_deal(training, TRAINING, train, rng), *_deal(serving, SERVING, serve, rng)]
        style = list(STYLES)[index // len(KINDS) % len(STYLES)]
        keys = [f"{seed}/composite/{index}/{place}" for place in range(len(families))]
        members = [_member(family, style, scale, key) for family, key in zip(families, keys, strict=True)]
        yield Composite(script=_script(f"{kind}_{index:03d}.py", kind, style, scale, members), members=tuple(members))


def _deal(deck: list[Family], all_families: Sequence[Family], count: int, rng: random.Random) -> list[Family]:
    """`count` different families off the deck, which is shuffled anew when it ends: all are dealt equally often."""
    dealt_families: list[Family] = []
    while len(dealt_families) < count:
        if all(family in dealt_families for family in deck):
            deck += rng.sample(all_families, k=len(all_families))
        next_family = next(family for family in deck if family not in dealt_families)
        deck.remove(next_family)
        dealt_families.append(next_family)
    return dealt_families


def _member(family: Family, style: str, scale: Scale, key: str) -> Member:
    rng = random.Random(key)
    drawn_values = family.draw(rng)
    recipe = choose_recipe(rng, family)
    hyperparameters = drawn_values if scale == "cpu" else family.enlarge(drawn_values)
    text = render(family, hyperparameters, recipe, style, f"{key}/{style}")
    return Member(family=family, hyperparameters=dict(hyperparameters), text=text)


def _script(name: str, kind: str, style: str, scale: Scale, members: Sequence[Member]) -> GeneratedScript:
    text = joined({member.family.name: member.text for member in members})
    return GeneratedScript(
        name=name,
        text=text,
        content_hash=content_hash(text.encode()),
        family=kind,
        group="composite:" + "+".join(member.family.name for member in members),
        style=style,
        scale=scale,
        hyperparameters={f"{m.family.name}.{key}": value for m in members for key, value in m.hyperparameters.items()},
        seconds=sum(member.family.seconds(member.hyperparameters) for member in members),
    )
