"""The advice of whoever can give it."""

from collections.abc import Mapping
from dataclasses import replace

from kilowait.advise.advice import Advice
from kilowait.advise.asking import AdviceQuestion, advice_here
from kilowait.advise.asking_service import advice_by_service
from kilowait.core.errors import InputError, ServiceError


def advice_of(question: AdviceQuestion, environment: Mapping[str, str]) -> Advice:
    """What the service says, where KILOWAIT_URL names one and it can; else what this process predicts.

    Raises what `advice_here` raises.
    """
    url = environment.get("KILOWAIT_URL")
    if not url:
        return advice_here(question)
    try:
        return advice_by_service(question, url, environment.get("KILOWAIT_TOKEN"))
    except (ServiceError, InputError) as error:
        advice = advice_here(question)
        return replace(advice, assumptions=(*advice.assumptions, f"predicted here, not by the service: {error}"))
