"""torchaudio's data sets where their files are not there: waveforms of the mean length, as many as published."""

from __future__ import annotations

from typing import Any

import torch

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import Absent, fill_where_absent
from kilowait.predict.dryrun.standins.data.folders import rows_of_split
from kilowait.predict.dryrun.standins.data.like_rows import touch

_SET = "_kilowait_set"
_TEXT = "he hoped there would be stew for dinner turnips and carrots and bruised potatoes"
_DEFAULT_SECONDS = 5.0
_AFTER: dict[str, tuple[Any, ...]] = {
    "SPEECHCOMMANDS": ("yes", "speaker", 0),
    "LIBRISPEECH": (_TEXT, 1, 1, 1),
    "LIBRITTS": (_TEXT, _TEXT, 1, 1, "1"),
    "LJSPEECH": (_TEXT, _TEXT),
    "YESNO": ([0, 1] * 4,),
    "GTZAN": ("blues",),
    "CMUARCTIC": (_TEXT, "1"),
    "IEMOCAP": ("file", "neu", "speaker"),
}
"""What follows the waveform and its rate in a row of each class."""


def stand_in_torchaudio(module: Any, absent: Absent) -> None:
    """Replace the constructors of the classes in `torchaudio.datasets`."""
    for name, after in _AFTER.items():
        made, facts = getattr(module, name, None), published_facts.audio_set(name)
        if made is not None and facts is not None:
            _stand_in_class(made, name, facts, after, absent)


def _stand_in_class(made: Any, name: str, facts: dict[str, Any], after: tuple[Any, ...], absent: Absent) -> None:
    item, length = made.__getitem__, made.__len__
    seconds = facts.get("seconds", _DEFAULT_SECONDS)

    def fill(data: Any, arguments: dict[str, Any]) -> None:
        split = arguments.get("subset") or arguments.get("url") or "all"
        vars(data)[_SET] = rows = rows_of_split(facts["rows"], str(split))
        data._walker = range(rows)
        mark, how = published_facts.certainty(facts, str(split))
        absent.recorder.assume(
            f"{name} {split} has {rows:,} clips of {seconds:g} s at {facts['rate']:,} Hz ({mark})", how
        )
        if "seconds" not in facts:
            absent.default(f"{name}: clips of {seconds:g} s")

    def row(self: Any, number: Any) -> Any:
        if _SET not in vars(self):
            return item(self, number)
        if int(number) >= vars(self)[_SET]:
            raise IndexError(number)
        touch()
        waveform = torch.zeros((1, int(facts["rate"] * seconds)))
        return (waveform, facts["rate"], *after)

    fill_where_absent(made, (RuntimeError, OSError, ValueError), fill)
    made.__getitem__ = row
    made.__len__ = lambda self: vars(self).get(_SET) or length(self)
