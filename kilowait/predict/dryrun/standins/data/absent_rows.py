"""One row of a table that is not there, from what is known of its columns."""

from __future__ import annotations

from typing import Any

from kilowait.predict.dryrun.dry_program import by_the_program
from kilowait.predict.dryrun.standins.data.absent import DEFAULT_IMAGE, DEFAULT_TEXT
from kilowait.predict.dryrun.standins.data.contents import prose
from kilowait.predict.dryrun.standins.data.images import black
from kilowait.predict.dryrun.standins.data.lengths import spread

_SCALAR_BYTES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int32": 4, "float32": 4}
_WORD = 6
"""Bytes of a word in a list of words: five letters and what is between them."""
SECONDS, RATE = 10, 16_000
"""Of a clip of which nothing is known."""


def text_length(facts: dict[str, Any]) -> int:
    """Letters in each text column on average: the bytes of a row less its numbers, shared evenly."""
    columns = facts["columns"]
    texts = sum(_texts(spec) for spec in columns.values())
    if "row_bytes" not in facts or not texts:
        return int(facts.get("text", DEFAULT_TEXT))
    numbers = sum(_SCALAR_BYTES.get(spec, 8) for spec in columns.values() if isinstance(spec, str) and spec != "string")
    return max(1, round((facts["row_bytes"] - numbers) / texts))


def _texts(spec: Any) -> int:
    if spec == "string":
        return 1
    if isinstance(spec, list):
        return _texts(spec[0])
    if isinstance(spec, dict) and "classes" not in spec and "array" not in spec:
        return sum(_texts(part) for part in spec.values())
    return 0


def row_of(facts: dict[str, Any], number: int) -> dict[str, Any]:
    """Row `number`, whose texts are as long as its place in turn says."""
    letters = spread(text_length(facts), number)
    image = tuple(facts.get("image", DEFAULT_IMAGE))
    return {name: value_of(spec, number, letters, image) for name, spec in facts["columns"].items()}


def value_of(spec: Any, number: int, letters: int, image: tuple[int, ...]) -> Any:
    """A value of a column: labels in turn, texts of `letters` letters."""
    if isinstance(spec, list):
        count = max(1, letters // _WORD)
        return [_element(spec[0], place) for place in range(count)]
    if isinstance(spec, dict):
        return _nested(spec, number, letters, image)
    if spec == "image":
        return black(*image).copy()
    if spec == "audio":
        import numpy as np

        return {"array": np.zeros(SECONDS * RATE, np.float32), "path": "clip.wav", "sampling_rate": RATE}
    if spec == "string":
        return prose(letters)
    return 0.0 if str(spec).startswith("float") else (spec == "bool" and False) or 0


def _nested(spec: dict[str, Any], number: int, letters: int, image: tuple[int, ...]) -> Any:
    if "classes" in spec:
        return number % max(1, spec["classes"])
    if "array" in spec:
        import numpy as np

        return np.zeros(spec["array"], spec["dtype"]).tolist()
    if "each_list" in spec:  # two turns of a conversation
        return [value_of(spec["each_list"], number, letters, image)] * 2
    if "each" in spec:  # a sequence of records is a record of sequences
        inner = spec["each"]
        if isinstance(inner, dict):
            return {name: [value_of(part, number, max(1, letters // 8), image)] for name, part in inner.items()}
        return [value_of(inner, number, letters, image)]
    return {name: value_of(part, number, letters, image) for name, part in spec.items()}


def _element(spec: Any, place: int) -> Any:
    if isinstance(spec, dict) and "classes" in spec:
        return place % max(1, spec["classes"])
    return prose(_WORD - 1, place).strip() or "word" if spec == "string" else 0


class AnyRow(dict):
    """A row of which no column is known: each is there when it is asked for, and is what its name says."""

    def __init__(self, number: int, entries: Any = ()) -> None:
        super().__init__(entries)
        self.number = number

    def __missing__(self, name: Any) -> Any:
        return value_of(kind_by_name(str(name)), self.number, spread(DEFAULT_TEXT, self.number), DEFAULT_IMAGE)


class AskedNames(list):
    """Names of columns of which none is known: one that the program's own code looks for is there, too."""

    def __init__(self, kinds: dict[str, Any]) -> None:
        super().__init__(kinds)
        self.kinds = kinds

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str) or name in _MADE or not by_the_program():
            return False
        self.append(name)
        self.kinds[name] = kind_by_name(name)
        return True


_MADE = ("input_ids", "attention_mask", "labels", "pixel_values", "input_values", "input_features")
"""Columns that are made from others."""


def kind_by_name(name: str) -> Any:
    """What a column of that name holds."""
    lowered = name.lower()
    if any(part in lowered for part in ("image", "img", "pixel", "picture", "photo")):
        return "image"
    if any(part in lowered for part in ("audio", "speech", "wave")):
        return "audio"
    if any(part in lowered for part in ("label", "target", "class", "score", "idx", "stars", "rating")):
        return {"classes": 2}
    return "string"
