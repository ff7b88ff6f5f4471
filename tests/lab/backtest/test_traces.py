"""Trace readers: what a row becomes, and that every row is used or counted by reason."""

import gzip
import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.lab.backtest.traces import FORMATS, Aside, Reason, TraceJob, TraceReading, read_trace
from kilowait.lab.backtest.traces.trace import assemble
from tests.support.trace_files import counts, refused, write_lines


@pytest.fixture
def write(tmp_path):
    return lambda name, *lines: write_lines(tmp_path / name, *lines)


SWF = "{id} {submit} 5 {run} {alloc} -1 -1 {req} {asked} -1 1 {user} 1 -1 {queue} -1 -1 -1"


def swf(id=1, submit=0, run=60, alloc=4, req=-1, user=7, queue=2, asked=-1):  # noqa: A002
    return SWF.format(id=id, submit=submit, run=run, alloc=alloc, req=req, user=user, queue=queue, asked=asked)


class TestSwf:
    def test_a_line_becomes_a_job_and_comments_are_passed_over(self, write):
        path = write("log.swf", "; Version: 2.2", "", swf(submit=30), swf(id=2, submit=90, alloc=-1, req=8, user=-1))
        trace = read_trace(path, "swf")
        assert trace.jobs == (
            TraceJob(job_id="1", submit_s=0, gpus=4, duration_s=60, user="7", vc="2"),
            TraceJob(job_id="2", submit_s=60, gpus=8, duration_s=60, user=None, vc="2"),
        )
        assert (trace.report.rows_read, trace.report.used, trace.report.first_submit_s) == (2, 2, 30)

    def test_the_requested_time_is_the_users_estimate_where_there_is_one(self, write):
        path = write("log.swf", swf(asked=3600), swf(id=2), swf(id=3, asked=0))
        assert [job.estimate_s for job in read_trace(path, "swf").jobs] == [3600, None, None]

    def test_gzip_is_unpacked(self, tmp_path):
        path = tmp_path / "log.swf.gz"
        path.write_bytes(gzip.compress((swf() + "\n").encode()))
        assert read_trace(path, "swf").report.used == 1

    def test_rows_that_are_no_jobs_are_counted(self, write):
        lines = [
            swf(id=1), swf(id=1, run=9), swf(id=2, run=-1), swf(id=3, run=0), swf(id=4, run=-7), swf(id=5, alloc=-1),
            swf(id=6, alloc=0), swf(id=7, alloc=-3), swf(id=8, submit=-1),
        ]  # fmt: skip
        trace = read_trace(write("log.swf", *lines), "swf")
        assert counts(trace) == {
            "DUPLICATE_ID": 1,
            "NO_DURATION": 1,
            "ZERO_LENGTH": 1,
            "IMPOSSIBLE": 3,
            "NO_GPU": 2,
        }
        assert trace.report.examples[Reason.ZERO_LENGTH] == "line 4, run_time '0'"
        assert trace.jobs[0].duration_s == 60

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (swf(run="abc"), "line 2, column run_time: must be a finite number, got 'abc'"),
            (swf(submit="nan"), "line 2, column submit_time: must be a finite number, got 'nan'"),
            ("1 2 3", "line 2: 3 values, the format has 18: '1 2 3'"),
        ],
    )
    def test_a_bad_line_is_named(self, write, line, message):
        refused(write("log.swf", "; comment", line), "swf", message)


PHILLY = "timestamp,duration,num_gpus,gpu_time,cluster"


class TestPhilly:
    def test_a_row_becomes_a_job_named_after_its_line(self, write):
        path = write("p.csv", PHILLY, "2017-10-01 00:00:10,60,2,120,a", "2017-10-01 00:01:40,5.5,1,5.5,b")
        trace = read_trace(path, "philly")
        assert trace.jobs == (
            TraceJob(job_id="line-2", submit_s=0, gpus=2, duration_s=60, vc="a"),
            TraceJob(job_id="line-3", submit_s=90, gpus=1, duration_s=5.5, vc="b"),
        )
        assert trace.report.first_submit_s == 1506816010  # date -u -d "2017-10-01 00:00:10" +%s

    def test_unsorted_rows_are_sorted_and_counted(self, write):
        rows = [f"2017-10-01 00:00:{second:02},60,1,60,a" for second in (5, 9, 7, 6, 9, 10)]
        trace = read_trace(write("p.csv", PHILLY, *rows), "philly")
        assert [job.submit_s for job in trace.jobs] == [0, 1, 2, 4, 4, 5]
        assert trace.report.unsorted == 2

    def test_rows_that_are_no_jobs_are_counted(self, write):
        day = "2017-10-01 00:00:00"
        rows = [f"{day},60,1,60,a", f"{day},0,1,0,a", f"{day},60,0,0,a", f"{day},-1,1,-1,a", f"{day},60,2,60,a"]
        trace = read_trace(write("p.csv", PHILLY, *rows, f"{day},60,1.5,90,a"), "philly")
        assert counts(trace) == {"ZERO_LENGTH": 1, "NO_GPU": 1, "IMPOSSIBLE": 3}
        assert trace.report.examples[Reason.IMPOSSIBLE] == "line 5, duration '-1'"

    def test_one_virtual_cluster_and_the_first_jobs(self, write):
        rows = [f"2017-10-01 00:00:0{k},60,1,60,{vc}" for k, vc in enumerate("abaab")]
        trace = read_trace(write("p.csv", PHILLY, *rows), "philly", vc="a", limit=2)
        assert [(job.job_id, job.submit_s) for job in trace.jobs] == [("line-2", 0), ("line-4", 2)]
        assert counts(trace) == {"OTHER_VC": 2, "BEYOND_LIMIT": 1}

    def test_jobs_beyond_the_limit_are_not_counted_as_sorted(self, write):
        rows = [f"2017-10-01 00:00:0{second},60,1,60,a" for second in (9, 1, 2, 8)]
        whole = read_trace(write("p.csv", PHILLY, *rows), "philly")
        first = read_trace(write("p.csv", PHILLY, *rows), "philly", limit=2)
        assert (whole.report.unsorted, first.report.unsorted, len(first.jobs)) == (3, 0, 2)

    def test_an_unknown_virtual_cluster_is_answered_with_those_there_are(self, write):
        path = write("p.csv", PHILLY, "2017-10-01 00:00:00,60,1,60,a")
        with pytest.raises(InputError, match="--vc 'z' was asked for, virtual clusters here: a"):
            read_trace(path, "philly", vc="z")

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("yesterday,60,1,60,a", "line 2, column timestamp: must be a date and time .*, got 'yesterday'"),
            ("2017-10-01 00:00:00,,1,60,a", "line 2, column duration: must be a finite number, got ''"),
            ("2017-10-01 00:00:00,60,one,60,a", "line 2, column num_gpus: must be a finite number, got 'one'"),
            ("2017-10-01 00:00:00,60,1,inf,a", "line 2, column gpu_time: must be a finite number, got 'inf'"),
            ("2017-10-01 00:00:00,60,1", "line 2: 3 values under 5 columns"),
        ],
    )
    def test_a_bad_cell_is_named(self, write, row, message):
        refused(write("p.csv", PHILLY, row), "philly", message)

    def test_a_missing_column_is_named(self, write):
        refused(write("p.csv", "timestamp,duration,cluster"), "philly", "line 1, column num_gpus: missing")


class TestAnyFile:
    @pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].side_table is None])
    def test_a_missing_file_is_named(self, tmp_path, name):
        with pytest.raises(InputError, match=r"absent: cannot be read: No such file"):
            read_trace(tmp_path / "absent", name)

    def test_damaged_gzip_is_named(self, tmp_path):
        (tmp_path / "a.swf.gz").write_bytes(b"no gzip")
        (tmp_path / "b.swf.gz").write_bytes(gzip.compress(b"; " + os.urandom(4000))[:-200])
        with pytest.raises(InputError, match=r"a.swf.gz: not readable as gzip"):
            read_trace(tmp_path / "a.swf.gz", "swf")
        with pytest.raises(InputError, match=r"b.swf.gz: (the gzip file is damaged|not UTF-8)"):
            read_trace(tmp_path / "b.swf.gz", "swf")

    def test_bytes_that_are_no_text_are_named(self, tmp_path):
        (tmp_path / "a.swf").write_bytes(b"\xff\xfe")
        with pytest.raises(InputError, match=r"a.swf: not UTF-8 at byte 0"):
            read_trace(tmp_path / "a.swf", "swf")

    def test_a_file_without_a_usable_job_says_what_it_held(self, write):
        path = write("log.swf", swf(run=0), swf(id=2, run=0))
        with pytest.raises(InputError, match=r"log.swf: no usable job among 2 rows \(zero length: 2\)"):
            read_trace(path, "swf")
        with pytest.raises(InputError, match=r"no usable job among 0 rows \(the file has no rows\)"):
            read_trace(write("empty.swf", "; nothing"), "swf")

    def test_wrong_arguments_are_named(self, write):
        path = write("log.swf", swf())
        with pytest.raises(InputError, match="unknown trace format 'csv'; choose from swf, philly"):
            read_trace(path, "csv")
        with pytest.raises(InputError, match="--limit must be >= 1, got 0"):
            read_trace(path, "swf", limit=0)
        with pytest.raises(InputError, match="the format swf has no second file"):
            read_trace(path, "swf", side_table=path)


jobs = st.builds(
    TraceJob,
    job_id=st.sampled_from("abcdefgh"),
    submit_s=st.integers(-50, 50).map(float),
    gpus=st.sampled_from([0.5, 1.0, 2.0]),
    duration_s=st.just(1.0),
    vc=st.sampled_from(["x", "y", None]),
)
asides = st.builds(Aside, reason=st.sampled_from(Reason), example=st.just("line 1"))


@given(st.lists(jobs | asides, max_size=20), st.sampled_from(["x", None]), st.none() | st.integers(1, 9))
def test_every_row_is_used_or_counted(rows, vc, limit):
    usable = [row for row in rows if isinstance(row, TraceJob) and vc in (None, row.vc)]
    reading = TraceReading(rows=iter(rows))
    if not usable:
        with pytest.raises(InputError, match="no usable job"):
            assemble(reading, source="t", name="swf", vc=vc, limit=limit)
        return
    trace = assemble(reading, source="t", name="swf", vc=vc, limit=limit)
    assert trace.report.rows_read == len(rows) == trace.report.used + sum(trace.report.set_aside.values())
    assert trace.report.used == len(trace.jobs) == min(len({job.job_id for job in usable}), limit or 99)
    times = [job.submit_s for job in trace.jobs]
    assert times == sorted(times)
    assert times[0] == 0
    given = Counter(row.reason for row in rows if isinstance(row, Aside))
    assert all(trace.report.set_aside[reason] >= count for reason, count in given.items())


@pytest.fixture
def real(shared_data):
    return shared_data("traces")


@pytest.mark.shared_data
class TestRealTraces:
    """Counts taken from the files with pandas, not with these readers."""

    def test_philly(self, real):
        trace = read_trace(real / "philly_two_vcs.csv", "philly")
        assert (trace.report.rows_read, trace.report.used, counts(trace)) == (57_317, 57_317, {})
        assert Counter(job.vc for job in trace.jobs) == {"6214e9": 41_226, "11cb48": 16_091}
        assert Counter(job.gpus for job in trace.jobs) == {1: 55_448, 2: 1_465, 8: 201, 4: 184, 16: 19}
        assert trace.report.unsorted == 0

    def test_openb(self, real):
        trace = read_trace(real / "openb_pods_gpuspec33.csv", "openb")
        assert trace.report.rows_read == 8_152
        # pods with a GPU by phase: Running 5193 - 1044, Pending 897 - 36, Failed and Succeeded 2062 - 8
        assert counts(trace) == {"NO_GPU": 1_088, "CENSORED": 4_149, "NEVER_STARTED": 861}
        assert trace.report.used == 2_054
        assert "1213 nodes with 6212 GPUs" in trace.report.notes[0]

    def test_gavel(self, real):
        trace = read_trace(real / "gavel_msr_seed0_traces.csv", "gavel")
        assert (trace.report.rows_read, trace.report.used, counts(trace)) == (15_264, 13_716, {"UNMEASURED": 1_548})
        assert trace.report.unsorted == 12_437  # one virtual cluster after the other
        assert len(read_trace(real / "gavel_msr_seed0_traces.csv", "gavel", vc="11cb48").jobs) == 1_819
