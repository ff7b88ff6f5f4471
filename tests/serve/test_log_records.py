"""A client's text in the service's log neither steers a terminal nor forges a line."""

import io
import logging

from serve.log_records import make_harmless


def test_a_message_and_its_traceback_are_harmless():
    out = io.StringIO()
    logger = logging.Logger("parent")
    logger.addHandler(logging.StreamHandler(out))
    make_harmless(logger)
    make_harmless(logger)
    logger.warning("no job %s", "\x1b[2J\nWARNING forged")
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logger.warning("a fault", exc_info=True)
    lines = out.getvalue().splitlines()
    assert lines[0] == "no job \\x1b[2J\\nWARNING forged"
    assert (lines[1], lines[-1]) == ("a fault", "ValueError: \\x1b[2J")
