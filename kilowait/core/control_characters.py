"""Text of others made harmless to a terminal and to a line of a log: what would steer it is shown as an escape.

Escaped are the control characters (ESC, BEL, NUL, those above U+007F, too), line and paragraph separators, lone
surrogates, and what turns the direction of a line.
"""

import re
from typing import Any

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LINES = "\n\t"
"""What may stay in a text of several lines."""


def escaped(text: str, keep: str = "") -> str:
    """`text` with an escape, as in a Python literal, for each character that steers; those in `keep` stay."""
    return _STEERING.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def escaped_all(value: Any) -> Any:
    """JSON with every text in it, names too, escaped."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {escaped(name): escaped_all(part) for name, part in value.items()}
    return [escaped_all(part) for part in value] if isinstance(value, list) else value
