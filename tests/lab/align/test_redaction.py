"""Secrets leave the text and come back; ordinary code stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.lab.align.redaction import redact
from kilowait.lab.corpus.generate import generate

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('api_key = "k3y-of-mine-42"', "k3y-of-mine-42"),
        ("wandb.login(key='0123456789abcdef0123456789abcdef01234567')", "0123456789abcdef0123456789abcdef01234567"),
        ('os.environ["WANDB_API_KEY"] = "abc-123-def"', "abc-123-def"),
        ('login(token="hf_' + "aB3" * 11 + '")', "hf_" + "aB3" * 11),
        ('t = "ghp_' + "a1B2" * 9 + '"', "ghp_" + "a1B2" * 9),
        ('k = "sk-proj-' + "aB3d" * 6 + '"', "sk-proj-" + "aB3d" * 6),
        ('id = "AKIAIOSFODNN7EXAMPLE"', "AKIAIOSFODNN7EXAMPLE"),
        ("password = 'hunter2'", "hunter2"),
        ('db = "postgresql://bob:s3cr3t@db.host:5432/jobs"', "s3cr3t"),
        ('url = "https://user@git.host/repo"', "user@git.host"),
        ('c = "Server=db;Database=x;User Id=me;Password=abc;"', "Password=abc"),
        ("# mail jane.doe+x@example.org for data", "jane.doe+x@example.org"),
        (f'key = """{KEY}"""', "MIIEow\nIBAAKC"),
        ('headers = {"Authorization": "Bearer abcdefghijkl.mnop"}', "abcdefghijkl.mnop"),
        ('j = "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM"', "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM"),
    ],
)
def test_a_secret_leaves_the_text_and_comes_back(text, secret):
    assert secret in text
    hidden = redact(text)
    assert secret not in hidden.text
    assert hidden.restore(hidden.text) == text


def test_one_secret_has_one_placeholder_and_a_shorter_one_inside_it_does_not_break_it():
    text = 'password = "abcdef-1"\nlonger = "postgres://me:abcdef-1@host/db"\nagain = "abcdef-1"\n'
    hidden = redact(text)
    assert "abcdef-1" not in hidden.text
    assert hidden.restore(hidden.text) == text
    assert len(hidden.secrets) == 2
    rewritten = hidden.text.replace("again", "once_more")
    assert hidden.restore(rewritten) == text.replace("again", "once_more")


def test_a_text_that_already_holds_placeholders_is_not_confused():
    text = 'note = "REDACTED_1_"\npassword = "abcdef-1"\n'
    hidden = redact(text)
    assert "abcdef-1" not in hidden.text
    assert hidden.restore(hidden.text) == text


def test_ordinary_training_code_is_left_alone():
    for script in generate(40, 0):
        assert redact(script.text).secrets == {}
    plain = "token = tokenizer(x)\npasswords = load()\nx = a @ b\nkey = self.key(query)\nspec = 'float32'\n"
    assert redact(plain).text == plain


alphabet = st.characters(codec="ascii", categories=["L", "N"])


@given(st.text(alphabet, min_size=8, max_size=20), st.text(alphabet, min_size=1, max_size=20))
def test_any_password_leaves_and_comes_back(secret, other):
    text = f'user = "{other}"\npassword = "{secret}"\n'
    hidden = redact(text)
    assert f'"{secret}"' not in hidden.text
    assert hidden.restore(hidden.text) == text
