"""The names under which `pipelines.train` compares probes and baselines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from kilowait.errors import InputError
from kilowait.predict.evaluate import Recipe, blend, mean_recipe, nearest_recipe, probe_recipe, words_recipe
from kilowait.predict.features import FeatureConfiguration
from kilowait.predict.probe import ProbeConfig

NAMES = {
    "mean": "the geometric mean of each device type",
    "nearest": "the label of the script with the most similar embedding",
    "bag": "ridge on identifiers and numbers (tf-idf), no language model",
    "paper": "the paper's appendix A.2.2 (last token of the last block unless FEATURES say otherwise)",
    "default": "kilowait's own probe",
    "default+bag": "the geometric mean of default and bag",
}
QUICK = ("mean", "nearest", "bag", "default@mean:15:raw", "default", "default+bag")
"""What needs seconds, and no vectors but the default probe's."""
DEFAULT = ("paper", "default@last:30:raw", *QUICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRecipe:
    """A recipe with its name, the vectors it reads, and what identifies it among remembered results."""

    name: str
    recipe: Recipe
    features: tuple[str, ...] = ()
    needs_texts: bool = False
    config: ProbeConfig | None = None

    @property
    def identity(self) -> str:
        """Changes when the recipe's configuration does."""
        config = None if self.config is None else asdict(self.config)
        return json.dumps([self.name, self.features, config])


def parse_recipes(text: str, *, features: str | None, seed: int, device: str) -> list[NamedRecipe]:
    """Recipes from NAME or NAME@FEATURES, comma-separated; `features` replaces those of the default probe."""
    own = default_config(features)
    return [_recipe(name.strip(), own, seed, device) for name in text.split(",") if name.strip()]


def default_config(features: str | None) -> ProbeConfig:
    """The default probe, on other feature keys (comma-separated) when they are given."""
    own = ProbeConfig.default()
    return replace(own, features=_keys(features.split(","), own)) if features else own


def _recipe(text: str, own: ProbeConfig, seed: int, device: str) -> NamedRecipe:
    name, _, chosen = text.partition("@")
    keys = _keys(chosen.split("+"), own) if chosen else None
    mine = replace(own, features=keys) if keys else own
    match name:
        case "mean":
            return NamedRecipe(name=text, recipe=mean_recipe)
        case "bag":
            return NamedRecipe(name=text, recipe=words_recipe, needs_texts=True)
        case "nearest":
            return NamedRecipe(name=text, recipe=nearest_recipe(mine.features), features=mine.features)
        case "paper":
            paper = ProbeConfig.paper(keys) if keys else ProbeConfig.paper()
            return _of_config(text, paper, seed, device)
        case "default":
            return _of_config(text, mine, seed, device)
        case "default+bag":
            both = blend(probe_recipe(mine, seed=seed, device=device), words_recipe)
            return NamedRecipe(name=text, recipe=both, features=mine.features, needs_texts=True, config=mine)
    raise InputError(f"--recipes: {text!r} is none of {', '.join(NAMES)}")


def _of_config(name: str, config: ProbeConfig, seed: int, device: str) -> NamedRecipe:
    recipe = probe_recipe(config, seed=seed, device=device)
    return NamedRecipe(name=name, recipe=recipe, features=config.features, config=config)


def _keys(texts: Sequence[str], own: ProbeConfig) -> tuple[str, ...]:
    """Feature keys; mean:15:raw stands for that of the model that the default probe reads."""
    model = own.features[0].rsplit(":", 3)[0]
    full = [text.strip() if "@" in text else f"{model}:{text.strip()}" for text in texts]
    return tuple(FeatureConfiguration.parse(key).key for key in full)
