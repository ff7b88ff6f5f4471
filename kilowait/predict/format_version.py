"""Which formats of kept models this release reads: see docs/explanation/versions.md.

Every model that was ever released says its format, and the format is covered by the hash that is its version, so one
that says none is damaged.
"""

from kilowait.core.errors import ModelError


def check_format(what: str, found: object, known: int, again: str) -> None:
    """Raises ModelError unless `found` is from 1 to `known`; `again` says how such a model is made anew."""
    if type(found) is int and 1 <= found <= known:
        return
    raise ModelError(
        f"{what} format {found!r}; this kilowait reads format {known}; use the release that wrote it, or {again}"
    )
