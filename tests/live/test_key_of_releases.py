"""A key that a client used before an upgrade is the same job after it: what is asked for is hashed as before."""

from msgspec import structs

from kilowait.core.submission import checked
from tests.support.live_world import request

OF_0_1_0 = "01c3f6c1ec2b933e0226641a96fbb155b61d960dcb49ff8e5afa65e908aec496"
"""What the first release kept for this request."""


def test_a_request_has_the_hash_that_the_first_release_gave_it():
    asked = request("k1", text="print(1)", labels={"a": "b"})
    assert checked(asked) == OF_0_1_0
    assert (
        checked(structs.replace(asked, dry_run="whole, 20 optimizer steps, 0.4 s")) == OF_0_1_0
    )  # it differs each time


def test_what_is_kept_of_a_job_is_a_part_of_what_is_asked_for():
    asked = request("k1", text="print(1)", labels={"a": "b"})
    kept = structs.replace(asked, program=structs.replace(asked.program, outputs=("model.pt",)))
    assert checked(kept) != OF_0_1_0
