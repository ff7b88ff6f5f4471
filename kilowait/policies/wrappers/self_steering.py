"""The price that steers itself as a wrapper by name: `steered(aged(patient,7d),0%)`."""

from kilowait.policies.parameters import part
from kilowait.policies.wrappers.wrapper import Wrapper, steering_of

WRAPPER = Wrapper(
    name="steered",
    sentence="the price of a kWh steers itself, so that all jobs together wait at most that share longer than under "
    "value (0% by default)",
    wrap=steering_of,
    read=part,
    arguments="P%",
    steers=True,
)
