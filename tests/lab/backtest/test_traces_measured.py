"""Traces that bring measured times by GPU type: Gavel, and our own columns."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.backtest.traces import Reason, TraceJob, read_trace
from tests.support.trace_files import counts, refused, write_lines


@pytest.fixture
def write(tmp_path):
    return lambda name, *lines: write_lines(tmp_path / name, *lines)


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
