"""The text of a shell script as commands: lines joined and cut where the shell does, comments left out."""

import re
from collections.abc import Iterator

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


def commands(text: str) -> Iterator[tuple[int, str]]:
    """(line, command) in order: lines joined, split where the shell ends a command; here-documents left out."""
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        while not _closed(line):
            more = next(lines, None)
            if more is None:
                break
            line = line[:-1] + more[1] if line.endswith("\\") else line + "\n" + more[1]
        heredoc = _HEREDOC.search(line)
        if heredoc:
            line = line[: heredoc.start()]
            for _, text_line in lines:
                if text_line.strip() == heredoc[2]:
                    break
        for command in split_commands(line):
            yield number, command


def _closed(line: str) -> bool:
    """Whether a line ends a command: quotes and brackets closed, no backslash at its end."""
    scan = _Scan(line)
    for _ in scan:
        pass
    return not (scan.quote or scan.depth) and not (
        line.endswith("\\") and not line.endswith("\\\\") and not scan.comment
    )


class _Scan:
    """The characters of a line with their places, those in quotes, brackets and comments told apart."""

    def __init__(self, line: str) -> None:
        self.line, self.quote, self.depth, self.comment = line, "", 0, False

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """(place, character) outside of quotes and brackets."""
        at = 0
        while at < len(self.line):
            char = self.line[at]
            if char == "\\" and self.quote != "'":
                at += 2
                continue
            if self.quote:
                self.quote = "" if char == self.quote else self.quote
            elif char in "'\"`":
                self.quote = char
            elif char in "({":
                self.depth += char == "(" or self.line[at - 1 : at] == "$"
            elif char in ")}" and self.depth:
                self.depth -= 1
            elif char == "#" and not self.depth and (at == 0 or self.line[at - 1] in " \t;&|"):
                self.comment = True
                return
            elif not self.depth:
                yield at, char
            at += 1


def split_commands(line: str) -> list[str]:
    """One line cut at `;`, `&&`, `||`, `|`, `&` and line ends."""
    scan, start, found = _Scan(line), 0, []
    end = len(line)
    for at, char in scan:
        if char in ";|\n" or (char == "&" and ">" not in line[max(0, at - 1) : at + 2]):
            found.append(line[start:at])
            start = at + 1
    if scan.comment:
        end = next(
            (at for at in range(start, len(line)) if line[at] == "#" and (at == 0 or line[at - 1] in " \t;&|")), end
        )
    found.append(line[start:end])
    return [command.strip() for command in found if command.strip()]
