"""What a program writes, with `***` in the place of values that nobody is to read there."""

import re
from collections.abc import Iterable

LEAST = 8
"""Characters of a value that is hidden: a shorter one stands in too much that is none."""
MARK = b"***"


class HiddenValues:
    """Hides values as they are, also where one comes in several pieces. Not covered: values in another form, encoded
    or cut up by whoever writes them."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted({value.encode() for value in values if len(value) >= LEAST}, key=len, reverse=True)
        self._pattern, self._held = re.compile(b"|".join(map(re.escape, self._values))), b""

    def passed(self, piece: bytes) -> bytes:
        """What may be shown by now; an empty piece is the end, and shows the rest."""
        if not self._values:
            return piece
        data, shown, end = self._held + piece, list[bytes](), 0
        for found in self._pattern.finditer(data):
            if piece and self._is_beginning(data[found.start() :]):  # perhaps of a longer value
                break
            shown += [data[end : found.start()], MARK]
            end = found.end()
        rest = data[end:]
        held = max(_begun(rest, value) for value in self._values) if piece else 0
        self._held = rest[len(rest) - held :]
        return b"".join([*shown, rest[: len(rest) - held]])

    def _is_beginning(self, text: bytes) -> bool:
        return any(value != text and value.startswith(text) for value in self._values)


def _begun(data: bytes, value: bytes) -> int:
    """How many of the last bytes may be the beginning of a value."""
    longest = min(len(value) - 1, len(data))
    return next((size for size in range(longest, 0, -1) if data.endswith(value[:size])), 0)
