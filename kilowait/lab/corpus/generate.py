"""The stream of scripts of a corpus: families and styles in turn, hyperparameters drawn, one in twenty a twin."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kilowait.lab.corpus.catalogue import FAMILIES
from kilowait.lab.corpus.draft import Recipe, choose_recipe
from kilowait.lab.corpus.family import Family, Hyperparameters, Value
from kilowait.lab.corpus.render import render
from kilowait.lab.corpus.styles import STYLES
from kilowait.program.source import content_hash

Scale = Literal["cpu", "gpu"]
TWIN_EVERY = 20
"""One script in so many repeats the hyperparameters of an earlier one in another style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedScript:
    """One generated program. `group` holds siblings and twins together; `seconds` is estimated, for one CPU core."""

    name: str
    text: str
    content_hash: str
    family: str
    group: str
    style: str
    scale: Scale
    hyperparameters: Mapping[str, Value]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnWork:
    """The work of a script: its hyperparameters and the additions that cost time."""

    hyperparameters: Hyperparameters
    recipe: Recipe
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedScript:
    """A script before its text: what is drawn for it, its number within the family and the key of its randomness."""

    family: Family
    draw: DrawnWork
    number: int
    key: str

    @property
    def text_key(self) -> str:
        """What `render` takes its randomness from."""
        return f"{self.key}/{self.draw.style}"


def generate(count: int, seed: int, scale: Scale = "cpu") -> Iterator[GeneratedScript]:
    """`count` scripts, the same ones for the same seed on any machine; a shorter corpus is a prefix of a longer.

    With scale "gpu" each script is the enlarged counterpart of the "cpu" script of the same name.
    """
    return (script_of(planned, scale) for planned in plan(count, seed))


def plan(count: int, seed: int) -> Iterator[PlannedScript]:
    """What `generate` writes, in its order, without the texts."""
    draws: dict[str, list[DrawnWork]] = {family.name: [] for family in FAMILIES}
    for index in range(count):
        position, round_ = index % len(FAMILIES), index // len(FAMILIES)
        family = FAMILIES[position]
        family_draws = draws[family.name]
        key = f"{seed}/{family.name}/{len(family_draws)}"
        style = list(STYLES)[(position + round_) % len(STYLES)]
        twin = round_ > 0 and (position + 7 * round_) % TWIN_EVERY == 0
        draw = _twin_of(family_draws[-1], style) if twin else _fresh(family, family_draws, style, key)
        family_draws.append(draw)
        yield PlannedScript(family=family, draw=draw, number=len(family_draws) - 1, key=key)


def _twin_of(draw: DrawnWork, style: str) -> DrawnWork:
    return DrawnWork(hyperparameters=draw.hyperparameters, recipe=draw.recipe, style=style)


def _fresh(family: Family, earlier_draws: list[DrawnWork], style: str, key: str) -> DrawnWork:
    """Hyperparameters that no earlier script of the family has."""
    rng = random.Random(f"{key}/draw")
    taken = [dict(draw.hyperparameters) for draw in earlier_draws]
    hyperparameters = family.draw(rng)
    while hyperparameters in taken:
        hyperparameters = family.draw(rng)
    return DrawnWork(hyperparameters=hyperparameters, recipe=choose_recipe(rng, family), style=style)


def script_of(planned: PlannedScript, scale: Scale) -> GeneratedScript:
    """The script with its text."""
    family, draw = planned.family, planned.draw
    hyperparameters = draw.hyperparameters if scale == "cpu" else family.enlarge(draw.hyperparameters)
    text = render(family, hyperparameters, draw.recipe, draw.style, planned.text_key)
    return GeneratedScript(
        name=f"{family.name}_{planned.number:03d}.py",
        text=text,
        content_hash=content_hash(text.encode()),
        family=family.name,
        group=family.name,
        style=draw.style,
        scale=scale,
        hyperparameters=dict(hyperparameters),
        seconds=family.seconds(hyperparameters),
    )
