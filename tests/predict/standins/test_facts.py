"""The catalogue's files: every entry names its source and says whether it was compared with it, and adds up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kilowait
from kilowait.predict.dryrun.standins.published_facts import certainty

DATA = Path(kilowait.__file__).parent / "data"
SETS = json.loads((DATA / "data_sets.json").read_bytes())
MODELS = json.loads((DATA / "models.json").read_bytes())
ENTRIES = {
    **{f"{kind}/{name}": facts for kind in ("hub", "vision", "audio", "files") for name, facts in SETS[kind].items()},
    **{f"models/{name}": facts for name, facts in MODELS["models"].items()},
}

TOTALS = {
    ("CelebA", "train valid test"): 202_599,
    ("Cityscapes", "train val test"): 5_000,
    ("DTD", "train val test"): 5_640,
    ("FGVCAircraft", "train val test"): 10_000,
    ("Flowers102", "train val test"): 8_189,
    ("PCAM", "train val test"): 327_680,
    ("SBDataset", "train val"): 11_355,
    ("SPEECHCOMMANDS", "training validation testing"): 105_829,
    ("StanfordCars", "train test"): 16_185,
    ("VOCDetection", "train val"): 11_540,
    ("WIDERFace", "train val test"): 32_203,
}
"""Totals that the descriptions of TensorFlow Datasets, torchvision or the Hugging Face hub give in words."""


def numbers(value: Any) -> Iterator[float]:
    """Every number in an entry."""
    if isinstance(value, (bool, str)) or value is None:
        return
    if isinstance(value, (int, float)):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)


def test_an_entry_names_its_source_and_says_whether_it_was_opened() -> None:
    for name, facts in ENTRIES.items():
        assert isinstance(facts["checked"], bool), name
        assert len(facts["source"]) > 8, name
        assert facts["source"].startswith("remembered, not opened: ") is not facts["checked"], name


def test_what_was_not_compared_is_a_field_or_a_split_of_its_entry() -> None:
    for name, facts in ENTRIES.items():
        parts = [facts[key] for key in ("rows", "by_split", "config") if isinstance(facts.get(key), dict)]
        assert set(facts.get("unchecked", ())) <= set(facts).union(*parts), name


def test_sizes_are_positive() -> None:
    for name, facts in ENTRIES.items():
        sizes = [
            facts.get(key) for key in ("rows", "by_split", "image", "bytes", "row_bytes", "seconds", "rate", "words")
        ]
        assert all(number > 0 for number in numbers(sizes)), name
        config = {
            key: value for key, value in facts.get("config", {}).items() if key != "type_vocab_size"
        }  # may be none
        sizes = [config[key] for key in config if key.endswith(("size", "layers", "heads", "dim", "d_model", "n_embd"))]
        assert all(number > 0 for number in numbers(sizes)), name


@pytest.mark.parametrize(("name", "splits"), TOTALS)
def test_splits_come_to_the_published_total(name: str, splits: str) -> None:
    rows = (SETS["vision"].get(name) or SETS["audio"][name])["rows"]
    assert sum(rows[split] for split in splits.split()) == TOTALS[name, splits]


def test_names_that_stand_for_others_stand_for_something() -> None:
    assert set(MODELS["aliases"].values()) <= set(MODELS["models"])
    assert set(SETS["folders"].values()) <= set(SETS["vision"])
    owners = {key.rpartition("/")[0] for key in SETS["hub"]} | set(SETS["hub"])
    assert set(SETS["aliases"].values()) <= owners


def test_a_fact_is_no_more_certain_than_what_was_compared() -> None:
    facts = {"checked": True, "unchecked": ["image"]}
    assert certainty(facts, "rows") == ("catalogue", "catalogue")
    assert certainty(facts, "rows", "image") == ("catalogue, not checked", "modelled")
    assert certainty({"checked": False}) == ("catalogue, not checked", "modelled")
    assert certainty({}) == ("catalogue, not checked", "modelled")
