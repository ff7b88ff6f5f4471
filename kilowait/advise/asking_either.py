"""The advice of whoever can give it."""

from collections.abc import Mapping

from kilowait.advise.advice import Advice
from kilowait.advise.asking import AdviceQuestion, advice_here


def advice_of(question: AdviceQuestion, environment: Mapping[str, str]) -> Advice:
    """What the service says, where KILOWAIT_URL names one; else what this process predicts. Raises KilowaitError."""
    return advice_here(question)
