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
    config, fits = default_config(features), Fits()
    return [_recipe(name.strip(), config, seed, device, fits) for name in text.split(",") if name.strip()]


def default_config(features: str | None) -> ProbeConfig:
    """The default probe, on other feature keys (comma-separated) when they are given."""
    config = ProbeConfig.default()
    return replace(config, features=_keys(features.split(","), config)) if features else config


def _recipe(text: str, default: ProbeConfig, seed: int, device: str, fits: Fits) -> NamedRecipe:
    name, _, feature_text = text.partition("@")
    if name.removeprefix("combined+") in tabular.LEARNERS:
        return _stacked(text, default, seed, device, fits)
    keys = _keys(feature_text.split("+"), default) if feature_text else None
    config = replace(default, features=keys) if keys else default
    match name:
        case "mean":
            return NamedRecipe(name=text, recipe=new_types(mean_recipe))
        case "bag":
            return NamedRecipe(name=text, recipe=new_types(words_recipe), needs_texts=True)
        case "nearest":
            return NamedRecipe(name=text, recipe=new_types(nearest_recipe(config.features)), features=config.features)
        case "paper":
            paper_config = ProbeConfig.paper(keys) if keys else ProbeConfig.paper()
            return replace(_of_config(text, paper_config, seed, device), slow=True)
        case "default":
            return _of_config(text, config, seed, device)
        case "default+bag":
            recipe = blend(probe_recipe(config, seed=seed, device=device), words_recipe)
            return NamedRecipe(
                name=text, recipe=new_types(recipe), features=config.features, needs_texts=True, config=config
            )
        case "neuralpower":
            return NamedRecipe(name=text, recipe=new_types(layers.polynomial_recipe), needs_dry_runs=True)
        case "justus":
            return NamedRecipe(name=text, recipe=layers.perceptron_recipe(seed), needs_dry_runs=True, slow=True)
        case "operations":
            return NamedRecipe(name=text, recipe=combined_recipe(fits=fits), needs_dry_runs=True, alone=True)
        case "nested":
            return NamedRecipe(name=text, recipe=nested_recipe(seed), needs_dry_runs=True, slow=True, alone=True)
        case "combined":
            recipe = combined_recipe(new_types(probe_recipe(config, seed=seed, device=device)), fits)
            named_recipe = NamedRecipe(
                name=text, recipe=recipe, features=config.features, needs_dry_runs=True, config=config
            )
            return replace(named_recipe, alone=True)
        case "anchor":
            return NamedRecipe(name=text, recipe=anchor_recipe)
    raise InputError(f"--recipes: {text!r} is none of {', '.join(NAMES)}")


def _stacked(text: str, default: ProbeConfig, seed: int, device: str, fits: Fits) -> NamedRecipe:
    """A learner on tables of features, or one that corrects `combined`."""
    name, _, set_text = text.partition("@")
    learner = name.removeprefix("combined+")
    base = None if learner == name else _recipe("combined", default, seed, device, fits)
    sets = _sets(text, set_text) if set_text else SETS if base is None else ("run",)
    keys = default.features if "embedding" in sets else ()
    over = partial(stacked_recipe, sets, keys, learner, seed)
    return NamedRecipe(
        name=text,
        recipe=over(None if base is None else base.recipe),
        features=keys if base is None else default.features,
        needs_dry_runs=True,
        slow=base is None,
        alone=True,
        config=default,
        base=base,
        over=over,
    )


def _sets(text: str, set_text: str) -> tuple[FeatureSet, ...]:
    wanted_sets = {part.strip() for part in set_text.split("+")}
    if not wanted_sets <= set(SETS):
        raise InputError(f"--recipes: {text!r} asks for sets of features other than {', '.join(SETS)}")
    return tuple(feature_set for feature_set in SETS if feature_set in wanted_sets)


def _of_config(name: str, config: ProbeConfig, seed: int, device: str) -> NamedRecipe:
    recipe = new_types(probe_recipe(config, seed=seed, device=device))
    return NamedRecipe(name=name, recipe=recipe, features=config.features, config=config)


def _keys(texts: Sequence[str], default: ProbeConfig) -> tuple[str, ...]:
    """Feature keys; mean:6:raw stands for that of the model that the default probe reads."""
    model = default.features[0].rsplit(":", 3)[0]
    full = [text.strip() if "@" in text else f"{model}:{text.strip()}" for text in texts]
    return tuple(FeatureConfiguration.parse(key).key for key in full)
