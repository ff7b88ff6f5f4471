"""Trace readers: what a row becomes, and that every row is used or counted by reason."""

import gzip
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.errors import InputError
from kilowait.simulate.traces import FORMATS, Aside, Reading, Reason, TraceJob, read_trace
from kilowait.simulate.traces.trace import assemble


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def counts(trace):
    return {reason.name: count for reason, count in trace.report.set_aside.items()}


def refused(path, name, message):
    with pytest.raises(InputError, match=re.escape(f"{path}, ") + message):
        read_trace(path, name)


SWF = "{id} {submit} 5 {run} {alloc} -1 -1 {req} -1 -1 1 {user} 1 -1 {queue} -1 -1 -1"


def swf(id=1, submit=0, run=60, alloc=4, req=-1, user=7, queue=2):  # noqa: A002
    return SWF.format(id=id, submit=submit, run=run, alloc=alloc, req=req, user=user, queue=queue)


class TestSwf:
    def test_a_line_becomes_a_job_and_comments_are_passed_over(self, write):
        path = write("log.swf", "; Version: 2.2", "", swf(submit=30), swf(id=2, submit=90, alloc=-1, req=8, user=-1))
        trace = read_trace(path, "swf")
        assert trace.jobs == (
            TraceJob(job_id="1", submit_s=0, gpus=4, duration_s=60, user="7", vc="2"),
            TraceJob(job_id="2", submit_s=60, gpus=8, duration_s=60, user=None, vc="2"),
        )
        assert (trace.report.rows_read, trace.report.used, trace.report.first_submit_s) == (2, 2, 30)

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


PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
NODES = ("sn,cpu_milli,memory_mib,gpu,model", "n0,1,1,0,", "n1,1,1,2,T4", "n2,1,1,8,G2", "n3,1,1,1,T4")


def pod(name="p", gpus=1, milli=1000, spec="", phase="Succeeded", created=0, deleted=100, scheduled=10):
    return f"{name},1,1,{gpus},{milli},{spec},LS,{phase},{created},{deleted},{scheduled}"


class TestOpenb:
    def test_fractions_and_constraints(self, write):
        path = write("pods.csv", PODS, pod("a", milli=460, spec="T4|V100M16"), pod("b", gpus=8, phase="Failed"))
        a, b = read_trace(path, "openb").jobs
        assert (a.gpus, a.allowed, a.duration_s, a.vc) == (0.46, {"T4", "V100M16"}, 90, "LS")
        assert (b.gpus, b.allowed) == (8, None)

    def test_rows_that_are_no_jobs_are_counted(self, write):
        rows = [
            pod("a"), pod("b", phase="Running"), pod("c", phase="Pending", scheduled=""), pod("d", gpus=0, milli=0),
            pod("e", deleted=10), pod("f", deleted=5), pod("g", milli=1500), pod("h", gpus=2, milli=500),
            pod("i", created=11), pod("j", deleted=""), pod("a"), pod("k", phase="Failed", scheduled=""),
            pod("l", gpus=-1),
        ]  # fmt: skip
        trace = read_trace(write("pods.csv", PODS, *rows), "openb")
        assert counts(trace) == {
            "CENSORED": 1,
            "NEVER_STARTED": 2,
            "NO_GPU": 1,
            "ZERO_LENGTH": 1,
            "IMPOSSIBLE": 5,
            "NO_DURATION": 1,
            "DUPLICATE_ID": 1,
        }
        assert trace.report.rows_read == 13

    def test_nodes_beside_the_pods_bound_what_a_pod_can_ask_for(self, write):
        write("openb_nodes.csv", *NODES)
        rows = [pod("a", gpus=2, spec="T4"), pod("b", gpus=3, spec="T4"), pod("c", gpus=8), pod("d", spec="H9")]
        trace = read_trace(write("pods.csv", PODS, *rows), "openb")
        assert [job.job_id for job in trace.jobs] == ["a", "c"]
        assert counts(trace) == {"IMPOSSIBLE": 2}
        assert trace.report.notes == ("openb_nodes.csv: 3 nodes with 11 GPUs (G2=8, T4=3)",)

    def test_a_bad_cell_is_named(self, write):
        bad = pod(deleted="soon")
        refused(write("pods.csv", PODS, bad), "openb", "line 2, column deletion_time: .*, got 'soon'")
        refused(write("pods.csv", PODS, pod(milli="x")), "openb", "line 2, column gpu_milli: .*, got 'x'")


JOBS = "job_name,inst_id,user,status,start_time,end_time"
TASKS = "job_name,task_name,inst_num,status,start_time,end_time,plan_cpu,plan_mem,plan_gpu,gpu_type"


class TestPai:
    @pytest.mark.parametrize("header", [True, False])
    def test_gpus_are_summed_over_tasks_with_and_without_a_header(self, write, header):
        tasks = [
            "a,ps,1.0,Terminated,110.0,400.0,600.0,29.3,,",
            "a,worker,3.0,Terminated,120.0,400.0,600.0,29.3,50.0,T4",
            "b,worker,2,Failed,130,200,600,29.3,100.0,T4",
            "b,chief,1,Failed,125,200,600,29.3,100.0,P100",
            "c,worker,,Terminated,150,200,600,29.3,25.0,MISC",
        ]
        jobs = ["a,i,u1,Terminated,100,400.0", "b,i,u2,Failed,110.0,200.0", "c,i,,Terminated,140,200"]
        write("pai_task_table.csv", *([TASKS] * header), *tasks)
        a, b, c = read_trace(write("pai_job_table.csv", *([JOBS] * header), *jobs), "pai").jobs
        assert a == TraceJob(
            job_id="a", submit_s=0, gpus=1.5, duration_s=280, user="u1", measured_s={"T4": 280}
        )  # 400 - 120: the parameter server has no GPU
        assert (b.gpus, b.duration_s, b.submit_s, b.measured_s) == (3, 75, 10, {})
        assert (c.gpus, c.user, c.measured_s) == (0.25, None, {})

    def test_rows_that_are_no_jobs_are_counted(self, write):
        ids = "abcdefghi"
        starts = dict.fromkeys(ids, "10") | {"e": "", "f": "4"}
        plans = dict.fromkeys(ids, "100") | {"g": ""}
        tasks = [f"{i},w,1,x,{starts[i]},99,1,1,{plans[i]},T4" for i in ids]
        jobs = [
            "a,i,u,Terminated,5,99", "b,i,u,Running,5,", "c,i,u,Waiting,5,", "d,i,u,Failed,5,", "e,i,u,Failed,5,9",
            "f,i,u,Failed,5,9", "g,i,u,Terminated,5,9", "h,i,u,Failed,5,10", "i,i,u,Failed,5,9",
            "z,i,u,Terminated,5,9", "a,i,u,Terminated,6,99",
        ]  # fmt: skip
        side = write("tasks.csv", TASKS, *tasks)
        trace = read_trace(write("jobs.csv", JOBS, *jobs), "pai", side_table=side)
        assert counts(trace) == {
            "CENSORED": 1,
            "NEVER_STARTED": 2,
            "NO_DURATION": 1,
            "IMPOSSIBLE": 2,
            "NO_GPU": 1,
            "ZERO_LENGTH": 1,
            "NO_TASK": 1,
            "DUPLICATE_ID": 1,
        }

    def test_without_a_task_table_it_says_so(self, write):
        with pytest.raises(InputError, match=r"jobs\.csv: PAI jobs need the task table"):
            read_trace(write("jobs.csv", JOBS, "a,i,u,Terminated,5,99"), "pai")

    def test_a_bad_cell_of_the_task_table_is_named(self, write):
        write("pai_task_table.csv", TASKS, "a,w,1,x,10,99,1,1,lots,T4")
        path = write("jobs.csv", JOBS, "a,i,u,Terminated,5,99")
        with pytest.raises(InputError, match=r"pai_task_table.csv, line 2, column plan_gpu: .*, got 'lots'"):
            read_trace(path, "pai")


GAVEL = "vc,job_type,num_steps_arg,needs_data_dir,total_steps,arrival_time_s,scale_factor"
THROUGHPUTS = (
    "file,gpu,key,model,batch_size,scale_factor,steps_per_s",
    "simulation_throughputs,v100,\"('M (batch size 8)', 2)\",M,8,2,10.0",
    "simulation_throughputs,p100,\"('M (batch size 8)', 2)\",M,8,2,4.0",
    "simulation_throughputs,k80,\"('M (batch size 8)', 2)\",M,8,2,0.0",
    "simulation_throughputs,v100_unconsolidated,\"('M (batch size 8)', 2)\",M,8,2,9.0",
    "physical_cluster_throughputs,v100,\"('M (batch size 8)', 2)\",M,8,2,11.0",
)


class TestGavel:
    def test_seconds_are_steps_over_measured_steps_a_second(self, write):
        write("gavel_isolated_throughputs.csv", *THROUGHPUTS)
        path = write("t.csv", GAVEL, "vc1,M (batch size 8),-n,1,200,7.0,2")
        (job,) = read_trace(path, "gavel").jobs
        assert (job.gpus, job.vc, job.job_type, job.duration_s) == (2, "vc1", "M (batch size 8)", 20)
        assert job.measured_s == {"V100": 20, "P100": 50}
        assert job.barred == {"K80"}

    def test_rows_that_are_no_jobs_and_throughputs_left_out_are_counted(self, write):
        write("gavel_isolated_throughputs.csv", *THROUGHPUTS)
        m = "v,M (batch size 8),-n,1"
        rows = [f"{m},200,7,2", f"{m},200,7,4", "v,other,-n,1,200,7,2", f"{m},0,7,2", f"{m},-5,7,2", f"{m},5,7,0"]
        trace = read_trace(write("t.csv", GAVEL, *rows), "gavel")
        assert counts(trace) == {"UNMEASURED": 2, "ZERO_LENGTH": 1, "IMPOSSIBLE": 1, "NO_GPU": 1}
        assert trace.report.notes == (
            "gavel_isolated_throughputs.csv: 1 rows left out: GPUs spread over nodes",
            "gavel_isolated_throughputs.csv: 1 rows left out: of physical_cluster_throughputs, "
            "simulation_throughputs is used",
        )

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("simulation_throughputs,v100,M at 2,M,8,2,10.0", "column key: must be a tuple .*, got 'M at 2'"),
            (THROUGHPUTS[1].replace("10.0", "-1"), "column steps_per_s: must be a finite number >= 0, got '-1'"),
            (THROUGHPUTS[1].replace("10.0", "12"), "column steps_per_s: another row has other steps a second"),
        ],
    )
    def test_a_bad_throughput_is_named(self, write, line, message):
        write("gavel_isolated_throughputs.csv", *THROUGHPUTS, line)
        path = write("t.csv", GAVEL, "v,M (batch size 8),-n,1,200,7,2")
        with pytest.raises(InputError, match=r"gavel_isolated_throughputs.csv, line 7, " + message):
            read_trace(path, "gavel")


GENERIC = "job_id,submit_s,gpus,duration_s"
WIDE = GENERIC + ",user,vc,job_type,allowed,A100_s,A100_kwh,T4_s"


class TestGeneric:
    def test_all_columns(self, write):
        path = write("g.csv", WIDE, "j,100,0.5,60,me,v,bert,A100|T4,60,0.25,240", "k,130,2,30,,,,,,,")
        assert read_trace(path, "generic").jobs == (
            TraceJob(
                job_id="j", submit_s=0, gpus=0.5, duration_s=60, user="me", vc="v", job_type="bert",
                allowed=frozenset({"A100", "T4"}), measured_s={"A100": 60, "T4": 240}, measured_kwh={"A100": 0.25},
            ),
            TraceJob(job_id="k", submit_s=30, gpus=2, duration_s=30),
        )  # fmt: skip

    def test_parquet_reads_as_csv_does(self, tmp_path, write):
        columns = {"job_id": ["j", "k"], "submit_s": [5.0, 9.0], "gpus": [1, 2], "duration_s": [60.0, None]}
        pq.write_table(pa.table(columns | {"T4_s": [1.5, None]}), tmp_path / "g.parquet")
        trace = read_trace(tmp_path / "g.parquet", "generic")
        same = read_trace(write("g.csv", GENERIC + ",T4_s", "j,5,1,60,1.5", "k,9,2,,"), "generic")
        assert trace.jobs == same.jobs
        assert counts(trace) == counts(same) == {"NO_DURATION": 1}
        assert trace.report.examples[Reason.NO_DURATION] == "row 2, duration_s ''"

    def test_a_bad_parquet_cell_is_named_by_row(self, tmp_path):
        columns = {"job_id": ["j"], "submit_s": ["late"], "gpus": [1], "duration_s": [60.0]}
        pq.write_table(pa.table(columns), tmp_path / "g.parquet")
        refused(tmp_path / "g.parquet", "generic", "row 1, column submit_s: must be a finite number, got 'late'")

    def test_what_is_no_parquet_is_named(self, write):
        with pytest.raises(InputError, match=r"g.parquet: not a readable Parquet file"):
            read_trace(write("g.parquet", "no"), "generic")

    @pytest.mark.parametrize(
        ("header", "row", "message"),
        [
            (GENERIC + ",colour", "", "line 1, column 'colour': unknown"),
            (GENERIC + ",A100_kwh", "", "line 1, column 'A100_kwh': unknown"),
            (GENERIC + ",A100_s,A100_s", "", "line 1, column 'A100_s': stands twice"),
            ("job_id,submit_s,gpus", "", "line 1, column duration_s: missing"),
            (GENERIC + ",T4_s", "j,0,1,9,0", "line 2, column T4_s: must be a finite number > 0, got '0'"),
            (GENERIC + ",T4_s,T4_kwh", "j,0,1,9,,1", r"line 2, column T4_s: must be given, as T4_kwh is \('1'\)"),
            (GENERIC, " ,0,1,9", "line 2, column job_id: must not be empty"),
        ],
    )
    def test_a_bad_header_or_cell_is_named(self, write, header, row, message):
        refused(write("g.csv", header, row), "generic", message)


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
    reading = Reading(rows=iter(rows))
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
def real():
    named = os.environ.get("KILOWAIT_SHARED_DATA")
    if not named:
        pytest.skip("KILOWAIT_SHARED_DATA names no folder of public traces")
    folder = Path(named) / "traces"
    if not folder.is_dir():
        pytest.skip(f"{folder} is no folder")
    return folder


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
