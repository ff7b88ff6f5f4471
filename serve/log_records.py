"""The service's own log: a message that repeats what a client sent stays in its line."""

import logging

from kilowait.core.control_characters import LINES, escaped


class Harmless(logging.Filter):
    """Escapes what steers a terminal or begins a line, in messages and tracebacks; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """The same record, its text escaped."""
        record.msg, record.args = escaped(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = escaped(logging.Formatter().formatException(record.exc_info), LINES)
        return True


def make_harmless(logger: logging.Logger) -> None:
    """Escape whatever the handlers of a logger write, of its children, too."""
    for handler in logger.handlers:
        if not any(isinstance(present, Harmless) for present in handler.filters):
            handler.addFilter(Harmless())
