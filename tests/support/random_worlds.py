"""Small worlds of jobs and GPUs, drawn at random for what must hold in every one of them."""

from hypothesis import strategies as st

from kilowait.core.jobs import Job, Prediction
from kilowait.simulate.run import Submission

TYPES = ("A", "B", "C")
numbers = st.builds(Prediction, runtime_s=st.integers(1, 6), energy_kwh=st.integers(0, 4))


@st.composite
def worlds(draw):
    """Few small integers, so that ties and simultaneous events abound."""
    inventory = {t: draw(st.integers(1, 4)) for t in TYPES[: draw(st.integers(1, 3))]}
    submissions = []
    for serial in range(draw(st.integers(0, 12))):
        allowed = draw(st.sets(st.sampled_from(TYPES), min_size=1))
        gpus_by_type = draw(st.dictionaries(st.sampled_from(TYPES), st.integers(1, 5), max_size=2))
        job = Job(
            job_id=str(serial), submit_s=draw(st.integers(0, 8)), gpus=draw(st.integers(1, 4)),
            gpus_by_type=gpus_by_type, allowed=frozenset(allowed),
            user=draw(st.sampled_from((None, "u", "v"))), priority=draw(st.integers(-1, 1)),
        )  # fmt: skip
        truth, seen = ({t: draw(numbers) for t in sorted(allowed)} for _ in range(2))
        submissions.append(Submission(job=job, truth=truth, seen=seen))
    return inventory, submissions
