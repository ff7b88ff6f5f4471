"""What names a signal and its file on the command line; it needs no policy."""

from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import UNITS


def signal_words(text: str, option: str = "--signal") -> tuple[str, Path, dict[str, str]]:
    """Name, path and words of `carbon=FILE,zone=DE,column=x`; raises InputError with the remedy."""
    (first, *rest), words = text.split(","), dict[str, str]()
    name, equals, path = first.partition("=")
    for word in rest:
        key, _, value = word.partition("=")
        if key not in ("zone", "column") or not value:
            shown = text.removeprefix(option.removeprefix("--") + "=")  # as it was given, where the option is the name
            raise InputError(f"{option} {shown}: {word!r} is neither zone=NAME nor column=NAME")
        words[key] = value
    if not equals or not path or name not in UNITS:
        raise InputError(f"{option} {text}: must be NAME=FILE, NAME one of {', '.join(UNITS)}")
    return name, Path(path), words
