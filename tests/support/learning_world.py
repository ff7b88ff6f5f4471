"""A history of finished jobs whose run times are what a test says, beside the base predictions that it says."""

import numpy as np

from kilowait.core.jobs import Measurement, Prediction, Provenance
from kilowait.core.submission import Ending
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history import bases
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request, seen

BASE = "base-1"


class History:
    """A node of A and one of B; jobs ask for one GPU, and the base expects 10 s and 1 kWh on A, 20 s and 0.5 on B."""

    def __init__(self, url):
        self.store = Store(url)
        self.live = Controller(self.store, simple(), order=("A", "B"))
        for gpu_type in "AB":
            self.live.node_joined(f"n{gpu_type}", gpu_type, 1, 0.0)
        self.now_s = 1.0

    def ran(
        self,
        source,
        factor,
        gpu_type="A",
        *,
        place=0.0,
        owner="ada",
        how=Provenance.MEASURED,
        energy_how=Provenance.ESTIMATED,
        ending=None,
        predictions=None,
        base=BASE,
    ):
        """A job took `factor` times what the base says; `place` is where its source lies on a line."""
        by_type = seen(A=(10, 1), B=(20, 0.5))
        if base:
            kept = bases.Base(
                content_hash=source,
                base_version=base,
                milli=1000,
                by_type=by_type,
                vector=np.array([place, 1.0], dtype=np.float32),
            )
            bases.keep(self.store, [kept], self.now_s)
        asked = request(
            predictions=predictions or by_type, content_hash=source, user=owner, allowed=frozenset({gpu_type})
        )
        job_id = self.live.submit(asked, self.now_s)
        (attempt,) = self.live.decide(self.now_s)
        expected = by_type[gpu_type]
        measured = Measurement(
            job_id=job_id,
            attempt=attempt.attempt,
            gpu_type=gpu_type,
            runtime_s=expected.runtime_s * factor,
            energy_j=expected.energy_kwh * factor * JOULES_PER_KWH,
            runtime_provenance=how,
            energy_provenance=energy_how,
        )
        self.now_s += 10.0
        found = ending or Ending(exit_code=0, measurement=measured)
        self.live.attempt_finished(job_id, attempt.attempt, attempt.token, found, self.now_s)
        return job_id

    def kind(self, count, factor, *, first=0, place=5.0, sd=0.1, seed=0, **more):
        """`count` jobs of new sources of one kind, whose factors scatter by `sd` in the logarithm."""
        rng = np.random.default_rng([seed, first])
        return [
            self.ran(f"s{first + i}", factor * np.exp(rng.normal(0, sd)), place=place + rng.normal(0, 0.1), **more)
            for i in range(count)
        ]


def corrected(version, runtime_s=10.0, low_s=None, high_s=None):
    """Predictions of a job as model `version` made them."""
    how = {"probe_version": f"{BASE}+{version}", "runtime_low_s": low_s, "runtime_high_s": high_s}
    return {"A": Prediction(runtime_s=runtime_s, energy_kwh=1.0, **how)}
