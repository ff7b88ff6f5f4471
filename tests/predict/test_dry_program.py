"""What a text is taken for before it is run dry."""

import pytest

from kilowait.predict.dryrun.dry_program import is_forward


@pytest.mark.parametrize("text", ["x = 1" + " + 1" * 100_000, "(" * 5000 + ")" * 5000], ids=["terms", "brackets"])
def test_what_is_nested_deeper_than_the_parser_goes_is_no_forward_pass(text):
    assert not is_forward(text)
