"""The comment by which a job is joined to its prediction."""

from kilowait.advise.job_comment import read_comment, written
from tests.support.advised import advised, on_type


def test_it_says_what_was_predicted():
    advice = advised({"A100": on_type(600, 300, 1200), "RTX-4090": on_type(900)}, gpus=2)
    text = written(advice)
    found = read_comment(text)
    assert found.advice_id == advice.advice_id
    assert found.gpus == 2
    assert found.seconds_by_type == {"A100": (600, 300, 1200), "RTX-4090": (900, None, None)}
    assert "|" not in text
    assert "\n" not in text


def test_it_is_found_beside_words_of_others_and_only_where_it_is():
    text = written(advised())
    assert read_comment(f"mine; {text} thanks").advice_id == advised().advice_id
    for other in ("", "(null)", "kilowait", "kilowait:xyz;gpus=1", "kilowait:0123"):
        assert read_comment(other) is None


def test_the_shortest_times_come_back_too():
    text = written(advised({"A100": on_type(3.6596e-05, 1e-05, 9e-05), "A6000": on_type(600, 300, 1200)}))
    assert read_comment(text).seconds_by_type == {"A100": (3.6596e-05, 1e-05, 9e-05), "A6000": (600, 300, 1200)}


def test_a_type_that_is_unknown_and_a_number_that_is_none_are_left_out():
    found = read_comment("kilowait:0123456789abcdef;gpus=1;Abacus=5;A100=,,;A6000=0;H100=7")
    assert found.seconds_by_type == {"H100": (7, None, None)}
