"""What would steer a terminal or begin a line of a log is shown, not sent."""

from kilowait.core.control_characters import LINES, escaped, escaped_all


def test_what_steers_a_terminal_is_shown_as_an_escape():
    assert escaped("\x1b[2J\x07\r\n\x00\x7f\x9b31m") == "\\x1b[2J\\x07\\r\\n\\x00\\x7f\\x9b31m"
    assert escaped("a\u202egnp.exe\u2028b\ud800") == "a\\u202egnp.exe\\u2028b\\ud800"


def test_words_of_every_language_stay_as_they_are():
    for text in ("na\xefve \u03b1\u03b2", "\u0928\u092e\u0938\u094d\u200d\u0924\u0947", "\U0001f469\u200d\U0001f52c"):
        assert escaped(text) == text


def test_lines_stay_where_they_are_wanted():
    assert escaped("a\tb\nc\x1b", LINES) == "a\tb\nc\\x1b"


def test_every_text_of_an_answer_is_escaped():
    answer = {"a\x1b": ["b\n", 1, None, {"c": "\x07"}]}
    assert escaped_all(answer) == {"a\\x1b": ["b\\n", 1, None, {"c": "\\x07"}]}
