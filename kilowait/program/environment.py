"""A job's environment variables as its source has them: values, but of those that hold secrets the name alone."""

import re
from collections.abc import Mapping

from kilowait.core.errors import InputError
from kilowait.core.submission import check_environment

_SECRET_NAME = re.compile(
    r"(?i)(?:^|_)(?:tokens?|secrets?|passw(?:or)?ds?|passwd|pwd|pass|passphrase|credentials?|auth|apikey"
    r"|(?:api|access|private|secret|signing|encryption|account)_?key(?:_id)?)(?:_|$)"
)
_SECRET_VALUE = re.compile(
    r"(?:hf_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|AKIA|ASIA|kw_)[\w-]{12,}"
    r"|[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""Tokens as their makers write them, passwords in addresses, keys."""
STAND_IN = "not-shown"
"""What a dry run sees in the place of a secret."""


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, by its name or by its value; in doubt it does."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def shown(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The variables in the order of their names; None in the place of a secret."""
    return {name: None if is_secret(name, value) else value for name, value in sorted(environment.items())}


def in_dry_run(environment: Mapping[str, str | None]) -> dict[str, str]:
    """The variables as a dry run has them: a secret is there, and is another."""
    return {name: STAND_IN if value is None else value for name, value in environment.items()}


def read_variables(given: list[str], option: str = "--env") -> dict[str, str]:
    """NAME=VALUE words; raises InputError for one that is none, and for what no job may have."""
    pairs = [word.partition("=") for word in given]
    wrong = next((word for word, (name, equals, _) in zip(given, pairs, strict=True) if not (name and equals)), None)
    if wrong is not None:
        raise InputError(f"{option} {wrong}: not NAME=VALUE, as in {option} WANDB_MODE=offline")
    environment = {name: value for name, _, value in pairs}
    check_environment(environment)
    return environment
