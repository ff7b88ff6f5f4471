"""The names under which `pipelines.train` and `pipelines.evaluate` compare probes and baselines.

A new recipe is a line in `NAMES` and a case in `_recipe`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from kilowait.core.errors import InputError
from kilowait.lab.evaluate import layers, tabular
from kilowait.lab.evaluate.cross_validation import (
    Recipe,
    anchor_recipe,
    blend,
    mean_recipe,
    nearest_recipe,
    new_types,
    probe_recipe,
    words_recipe,
)
from kilowait.lab.evaluate.operation_times import Fits, combined_recipe, nested_recipe
from kilowait.lab.evaluate.stacked import SETS, FeatureSet, stacked_recipe
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.probe.probe import ProbeConfig

NAMES = {
    "mean": "the geometric mean of each device type",
    "nearest": "the label of the script with the most similar embedding",
    "bag": "ridge on identifiers and numbers (tf-idf), no language model",
    "paper": "the paper's appendix A.2.2 (last token of the last block unless FEATURES say otherwise)",
    "default": "kilowait's own probe",
    "default+bag": "the geometric mean of default and bag",
    "neuralpower": "polynomials of layer sizes, a kind of layer each (Cai et al. 2017), on the dry run's operations",
    "justus": "a perceptron of layer and device, summed over layers (Justus et al. 2018), on the same",
    "operations": "the device model: rooflines of the dry run's operations with learned efficiencies",
    "nested": "operations, its scales chosen anew by evidence from each training set: how far they flatter it",
    "combined": "operations, and default for programs without a whole dry run",
    **{
        name: f"{what}, on tables of features; NAME@SETS of {', '.join(SETS)}, joined by + (default: all)"
        for name, what in tabular.NAMES.items()
    },
    "combined+NAME": "combined, corrected by one of these five; its default are the sums of the dry run",
    "anchor": "the geometric mean of the program's own labels on other device types (for --anchored)",
}
QUICK = ("mean", "nearest", "bag", "default@mean:6:raw", "default", "default+bag")
"""What needs seconds, and no vectors but the default probe's."""
OWN = "combined"
"""The recipe that kilowait predicts with: what `pipelines.evaluate --json` scores."""
COMPARED = (OWN, "default", "mean", "nearest", "bag", "neuralpower", "justus")
"""What `pipelines.evaluate` compares: kilowait's own recipe first, then the baselines that need seconds."""
DEFAULT = ("paper", "default@last:30:raw", *QUICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRecipe:
    """A recipe with its name, the vectors it reads, and what identifies it among remembered results.

    `slow` recipes train for minutes: they are given no intervals, which take five times as many models. Models of an
    `alone` recipe gain nothing from being trained together: one by one each can be kept as soon as it is there. A
    recipe that asks a `base` has `over`, which makes it from the base's: a base that is remembered serves several.
    """

    name: str
    recipe: Recipe
    features: tuple[str, ...] = ()
    needs_texts: bool = False
    needs_dry_runs: bool = False
    slow: bool = False
    alone: bool = False
    config: ProbeConfig | None = None
    base: "NamedRecipe | None" = None
    over: Callable[[Recipe], Recipe] | None = None

    @property
    def identity(self) -> str:
        """Changes when the recipe's configuration does."""
        config = None if self.config is None else asdict(self.config)
        return json.dumps([self.name, self.features, config])


def parse_recipes(text: str, *, features: str | None, seed: int, device: str) -> list[NamedRecipe]:
    """Recipes from NAME or NAME@FEATURES, comma-separated; `features` replaces those of the default probe."""
    own, fits = default_config(features), Fits()
    return [_recipe(name.strip(), own, seed, device, fits) for name in text.split(",") if name.strip()]


def default_config(features: str | None) -> ProbeConfig:
    """The default probe, on other feature keys (comma-separated) when they are given."""
    own = ProbeConfig.default()
    return replace(own, features=_keys(features.split(","), own)) if features else own


def _recipe(text: str, own: ProbeConfig, seed: int, device: str, fits: Fits) -> NamedRecipe:
    name, _, chosen = text.partition("@")
    if name.removeprefix("combined+") in tabular.LEARNERS:
        return _stacked(text, own, seed, device, fits)
    keys = _keys(chosen.split("+"), own) if chosen else None
    mine = replace(own, features=keys) if keys else own
    match name:
        case "mean":
            return NamedRecipe(name=text, recipe=new_types(mean_recipe))
        case "bag":
            return NamedRecipe(name=text, recipe=new_types(words_recipe), needs_texts=True)
        case "nearest":
            return NamedRecipe(name=text, recipe=new_types(nearest_recipe(mine.features)), features=mine.features)
        case "paper":
            paper = ProbeConfig.paper(keys) if keys else ProbeConfig.paper()
            return replace(_of_config(text, paper, seed, device), slow=True)
        case "default":
            return _of_config(text, mine, seed, device)
        case "default+bag":
            both = blend(probe_recipe(mine, seed=seed, device=device), words_recipe)
            return NamedRecipe(name=text, recipe=new_types(both), features=mine.features, needs_texts=True, config=mine)
        case "neuralpower":
            return NamedRecipe(name=text, recipe=new_types(layers.polynomial_recipe), needs_dry_runs=True)
        case "justus":
            return NamedRecipe(name=text, recipe=layers.perceptron_recipe(seed), needs_dry_runs=True, slow=True)
        case "operations":
            return NamedRecipe(name=text, recipe=combined_recipe(fits=fits), needs_dry_runs=True, alone=True)
        case "nested":
            return NamedRecipe(name=text, recipe=nested_recipe(seed), needs_dry_runs=True, slow=True, alone=True)
        case "combined":
            both = combined_recipe(new_types(probe_recipe(mine, seed=seed, device=device)), fits)
            named = NamedRecipe(name=text, recipe=both, features=mine.features, needs_dry_runs=True, config=mine)
            return replace(named, alone=True)
        case "anchor":
            return NamedRecipe(name=text, recipe=anchor_recipe)
    raise InputError(f"--recipes: {text!r} is none of {', '.join(NAMES)}")


def _stacked(text: str, own: ProbeConfig, seed: int, device: str, fits: Fits) -> NamedRecipe:
    """A learner on tables, or what corrects `combined`."""
    name, _, chosen = text.partition("@")
    learner = name.removeprefix("combined+")
    base = None if learner == name else _recipe("combined", own, seed, device, fits)
    sets = _sets(text, chosen) if chosen else SETS if base is None else ("run",)
    keys = own.features if "embedding" in sets else ()
    over = partial(stacked_recipe, sets, keys, learner, seed)
    return NamedRecipe(
        name=text,
        recipe=over(None if base is None else base.recipe),
        features=keys if base is None else own.features,
        needs_dry_runs=True,
        slow=base is None,
        alone=True,
        config=own,
        base=base,
        over=over,
    )


def _sets(text: str, chosen: str) -> tuple[FeatureSet, ...]:
    wanted = {part.strip() for part in chosen.split("+")}
    if not wanted <= set(SETS):
        raise InputError(f"--recipes: {text!r} asks for sets of features other than {', '.join(SETS)}")
    return tuple(each for each in SETS if each in wanted)


def _of_config(name: str, config: ProbeConfig, seed: int, device: str) -> NamedRecipe:
    recipe = new_types(probe_recipe(config, seed=seed, device=device))
    return NamedRecipe(name=name, recipe=recipe, features=config.features, config=config)


def _keys(texts: Sequence[str], own: ProbeConfig) -> tuple[str, ...]:
    """Feature keys; mean:6:raw stands for that of the model that the default probe reads."""
    model = own.features[0].rsplit(":", 3)[0]
    full = [text.strip() if "@" in text else f"{model}:{text.strip()}" for text in texts]
    return tuple(FeatureConfiguration.parse(key).key for key in full)
