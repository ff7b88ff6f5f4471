"""Source to prediction: embedding, probes and the bundle that holds them.

Called, it is `kilowait.predict.one_shot.predict`: `kilowait.predict("train.py")`.
"""

from kilowait.core.callable_package import make_callable

make_callable(__name__, "one_shot", "predict")
