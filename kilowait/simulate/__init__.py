"""The event loop, scenarios and scores: the state machine driven by a list instead of a cluster.

Called, it is `kilowait.simulate.simulation.simulate`: `kilowait.simulate("jobs.csv", {"A100": 4}, "easy")`.
"""

from kilowait.core.callable_package import make_callable

make_callable(__name__, "simulation", "simulate")
