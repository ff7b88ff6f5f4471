"""What type checkers see of the public API.

A stub, because imports under TYPE_CHECKING would make this package depend on all its parts for whoever follows imports:
import-linter, and kilowait itself when it collects the files of a job.
"""

from kilowait.client.client import Client as Client
from kilowait.core import errors as errors
from kilowait.core.jobs import Job as Job
from kilowait.core.jobs import Prediction as Prediction
from kilowait.measure.own_line import progress as progress
from kilowait.policies import POLICIES as POLICIES
from kilowait.predict.one_shot import predict as predict
from kilowait.predict.predictor import Predictor as Predictor
from kilowait.simulate.run import Submission as Submission
from kilowait.simulate.simulation import simulate as simulate

__version__: str
__all__ = [
    "POLICIES",
    "Client",
    "Job",
    "Prediction",
    "Predictor",
    "Submission",
    "__version__",
    "errors",
    "predict",
    "progress",
    "simulate",
]
