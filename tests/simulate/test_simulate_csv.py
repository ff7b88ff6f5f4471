"""The jobs file: what it may say, and that every mistake is named by file, line, column and value."""

import re

import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.simulate.jobs_csv import read_jobs, read_submissions, write_placements
from kilowait.simulate.run import Placement

HEADER = "job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh"
BOTH = ("A100", "A6000")


@pytest.fixture
def write(tmp_path):
    def write(*lines, name="jobs.csv", header=HEADER):
        path = tmp_path / name
        path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        return path

    return write


def test_a_row_becomes_a_job_with_its_numbers_by_type(write):
    row = read_jobs(write("j1,12.5,2,3600,1.5,7200,1e-3"), BOTH)["j1"]
    assert (row.job.job_id, row.job.submit_s, row.job.gpus, row.job.gpus_by_type) == ("j1", 12.5, 2, {})
    assert row.job.allowed == {"A100", "A6000"}
    assert row.by_type["A100"] == Prediction(runtime_s=3600, energy_kwh=1.5)
    assert row.by_type["A6000"] == Prediction(runtime_s=7200, energy_kwh=0.001)


def test_both_cells_empty_forbid_the_type_and_a_gpus_column_overrides(write):
    path = write("a,0,1,10,1,,,", "b,0,2,10,1,20,2,4", header=HEADER + ",A6000_gpus")
    rows = read_jobs(path, BOTH)
    assert rows["a"].job.allowed == {"A100"}
    assert (rows["b"].job.gpus_on("A100"), rows["b"].job.gpus_on("A6000")) == (2, 4)


def test_user_and_priority_are_optional_columns(write):
    path = write("a,0,1,10,1,,,ada,-2", "b,0,1,10,1,,, ,", header=HEADER + ",user,priority")
    jobs = [row.job for row in read_jobs(path, BOTH).values()]
    assert [(job.user, job.priority) for job in jobs] == [("ada", -2), (None, 0)]
    job = read_jobs(write("j,0,1,10,1,,"), BOTH)["j"].job
    assert (job.user, job.priority) == (None, 0)


@pytest.mark.parametrize("priority", ["high", "1.5", "1e3", "--1"])
def test_a_bad_priority_is_named(write, priority):
    path = write(f"a,0,1,10,1,,,{priority}", header=HEADER + ",priority")
    with pytest.raises(InputError, match="line 2, column priority: must be a whole number, or empty for 0, got"):
        read_jobs(path, BOTH)


def test_columns_may_stand_in_any_order_and_types_are_any_text(write):
    path = write("5,j,0,1,2", header="board X_s,job_id,submit_s,gpus,board X_kwh")
    assert read_jobs(path, ("board X",))["j"].by_type["board X"].runtime_s == 5


def test_columns_of_types_the_cluster_lacks_are_not_read(write):
    rows = read_jobs(write("j,0,1,10,1,nonsense,-4"), ("A100",))
    assert rows["j"].job.allowed == {"A100"}


def test_a_header_alone_is_no_jobs_and_blank_lines_and_a_byte_order_mark_are_passed_over(write, tmp_path):
    assert read_jobs(write(), BOTH) == {}
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n\r\nj,0,1,1,1,1,1\r\n\r\n")
    assert list(read_jobs(path, BOTH)) == ["j"]


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ("j,0,1,nan,1,1,1", "A100_s", "nan"),
        ("j,0,1,inf,1,1,1", "A100_s", "inf"),
        ("j,0,1,1e999,1,1,1", "A100_s", "1e999"),
        ("j,0,1,0,1,1,1", "A100_s", "0"),
        ("j,0,1,-5,1,1,1", "A100_s", "-5"),
        ("j,0,1,1_000,1,1,1", "A100_s", "1_000"),
        ("j,0,1,1,-0.5,1,1", "A100_kwh", "-0.5"),
        ("j,0,1,1,1,abc,1", "A6000_s", "abc"),
        ("j,0,1,,1,1,1", "A100_s", ""),
        ("j,0,1,1,1,1,", "A6000_kwh", ""),
        ("j,-1,1,1,1,1,1", "submit_s", "-1"),
        ("j,,1,1,1,1,1", "submit_s", ""),
        ("j,0,1.5,1,1,1,1", "gpus", "1.5"),
        ("j,0,0,1,1,1,1", "gpus", "0"),
        ("j,0,-2,1,1,1,1", "gpus", "-2"),
        ("j,0,two,1,1,1,1", "gpus", "two"),
        ("j,0,,1,1,1,1", "gpus", ""),
        (",0,1,1,1,1,1", "job_id", ""),
        ("ok,0,1,1,1,1,1", "job_id", "ok"),
    ],
)
def test_a_bad_cell_is_named(write, row, column, value):
    path = write("ok,0,1,1,1,1,1", row)
    message = f"{path}, line 3, column {column}: "
    with pytest.raises(InputError, match=re.escape(message) + ".*got " + re.escape(repr(value)) + "$"):
        read_jobs(path, BOTH)


def test_a_bad_override_is_named(write):
    path = write("j,0,1,1,1,1,1,2.5", header=HEADER + ",A100_gpus")
    with pytest.raises(InputError, match=r"line 2, column A100_gpus: must be a whole number >= 1, got '2.5'"):
        read_jobs(path, BOTH)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh", "line 1, column job_id: missing"),
        ("job_id,submit_s,gpus,A100_s,A100_kwh", "line 1, column A6000_s: missing"),
        ("job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s", "line 1, column A6000_kwh: missing"),
        (HEADER + ",H100_s", "line 1, column H100_kwh: missing"),
        (HEADER + ",colour", "line 1, column 'colour': unknown"),
        (HEADER + ",H100_gpus", "line 1, column 'H100_gpus': unknown"),
        (HEADER + ",gpus", "line 1, column gpus: stands 2 times"),
        ("", "line 1: no header"),
    ],
)
def test_a_bad_header_is_named(write, header, message):
    with pytest.raises(InputError, match=message):
        read_jobs(write(header=header), BOTH)


def test_a_ragged_row_is_named(write):
    with pytest.raises(InputError, match=r"jobs.csv, line 3: 6 values under 7 columns: 'j,0,1,1,1,1'"):
        read_jobs(write("ok,0,1,1,1,1,1", "j,0,1,1,1,1"), BOTH)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: no header"),
        (HEADER.encode() + b"\n\xff\xfe,0,1,1,1,1,1\n", "not UTF-8"),
        (HEADER.encode() + b'\n"j,0,1,1,1,1,1\n', "not readable as CSV"),
    ],
)
def test_a_file_that_is_no_csv_is_named(tmp_path, content, message):
    path = tmp_path / "jobs.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        read_jobs(path, BOTH)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(InputError, match=f"{re.escape(str(path))}: cannot be read"):
            read_jobs(path, BOTH)


def test_the_policy_sees_the_predictions_file_and_nothing_else(write):
    jobs = write("j,0,1,10,1,20,2")
    (submission,) = read_submissions(jobs, BOTH, write("j,0,1,11,3,21,4", "more,9,1,1,1,1,1", name="pred.csv"))
    assert submission.truth["A100"] == Prediction(runtime_s=10, energy_kwh=1)
    assert submission.seen["A100"] == Prediction(runtime_s=11, energy_kwh=3)
    (submission,) = read_submissions(jobs, BOTH)
    assert submission.seen == submission.truth


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        ("other,0,1,10,1,20,2", r"pred.csv: job 'j' \(.*jobs.csv, line 2\) is missing from column job_id"),
        ("j,0,1,10,1,,", "pred.csv, line 2, column A6000_s: job 'j' may not be empty: it is allowed"),
        ("j,3,1,10,1,20,2", r"pred.csv, line 2, column submit_s: 3.0 is 0.0 in .*jobs.csv, line 2"),
        ("j,0,2,10,1,20,2", r"pred.csv, line 2, column gpus or A100_gpus: 2 is 1 in .*jobs.csv, line 2"),
    ],
)
def test_predictions_about_other_jobs_are_refused(write, prediction, message):
    with pytest.raises(InputError, match=message):
        read_submissions(write("j,0,1,10,1,20,2"), BOTH, write(prediction, name="pred.csv"))


def test_a_type_allowed_only_in_the_predictions_is_refused(write):
    jobs, predictions = write("j,0,1,10,1,,"), write("j,0,1,10,1,20,2", name="pred.csv")
    with pytest.raises(InputError, match=r"column A6000_s: job 'j' is allowed here, but not in .*jobs.csv, line 2"):
        read_submissions(jobs, BOTH, predictions)


def placement(**fields):
    numbers = {"attempt": 1, "gpus": 1, "submit_s": 0.0, "end_s": 9.0, "runtime_s": 9.0, "energy_kwh": 1.0}
    return Placement(**numbers, **fields)


def test_placements_are_written_in_the_order_decided(tmp_path):
    path = tmp_path / "out.csv"
    rows = [placement(job_id="b", gpu_type="A6000", start_s=0.1), placement(job_id='a,"', gpu_type="A", start_s=3.0)]
    write_placements(path, rows)
    assert path.read_text() == 'job_id,start_s,gpu_type\nb,0.1,A6000\n"a,""",3.0,A\n'


def test_placements_that_cannot_be_written_are_reported(tmp_path):
    with pytest.raises(InputError, match=r"absent/out.csv: the placements cannot be written: No such file"):
        write_placements(tmp_path / "absent" / "out.csv", [])


class TestSharesAndNodes:
    HEAD = "job_id,submit_s,gpus,gpu_milli,one_node,A_s,A_kwh"

    def read(self, tmp_path, *rows):
        path = tmp_path / "jobs.csv"
        path.write_text("\n".join((self.HEAD, *rows)) + "\n")
        return [row.job for row in read_jobs(path, ["A"]).values()]

    def test_empty_cells_are_whole_gpus_of_any_nodes(self, tmp_path):
        jobs = self.read(tmp_path, "a,0,1,250,,1,1", "b,0,4,,yes,1,1", "c,0,4,1000,no,1,1")
        assert [(j.gpus, j.gpu_milli, j.one_node) for j in jobs] == [(1, 250, False), (4, 1000, True), (4, 1000, False)]

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("a,0,1,0,,1,1", "column gpu_milli: must be a whole number >= 1, got '0'"),
            ("a,0,1,1001,,1,1", "column gpu_milli: must be at most 1000, a whole GPU, got '1001'"),
            (
                "a,0,2,500,,1,1",
                "column gpu_milli: below 1000 it is a share of one GPU, and the job takes more, got '500'",
            ),
            ("a,0,2,,maybe,1,1", "column one_node: must be yes or no, or empty for no, got 'maybe'"),
        ],
    )
    def test_a_cell_that_cannot_be_is_named(self, tmp_path, row, problem):
        with pytest.raises(InputError, match=f"line 2, {problem}"):
            self.read(tmp_path, row)

    def test_predictions_must_be_about_the_same_share(self, tmp_path):
        jobs, seen = tmp_path / "jobs.csv", tmp_path / "seen.csv"
        jobs.write_text(f"{self.HEAD}\na,0,1,500,,1,1\n")
        seen.write_text(f"{self.HEAD}\na,0,1,400,,1,1\n")
        with pytest.raises(InputError, match=r"seen.csv, line 2, column gpu_milli: 400 is 500 in .*jobs.csv, line 2"):
            read_submissions(jobs, ["A"], seen)
