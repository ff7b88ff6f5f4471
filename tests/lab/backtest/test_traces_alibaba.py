"""Alibaba traces: pods with fractions and constraints, jobs whose GPUs stand in a second table."""

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.backtest.traces import TraceJob, read_trace
from tests.support.trace_files import counts, refused, write_lines


@pytest.fixture
def write(tmp_path):
    return lambda name, *lines: write_lines(tmp_path / name, *lines)


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
        assert (a.one_node, b.one_node) == (False, True)  # a pod runs on one node

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
