"""Profiles of made-up steps whose times one can work out in one's head: rebuilt, told apart, and changed."""

import gzip
import io
import json
import tarfile

import pytest

from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.predict.profiled.kineto import read_traces, trace_of
from kilowait.predict.profiled.rebuilt_steps import rebuilt, rebuilt_from_one
from kilowait.predict.profiled.scaled_step import Elsewhere, scaled, specification, type_of
from kilowait.predict.profiled.simulated_step import again_us
from kilowait.predict.profiled.step_graph import graph_of


class Recorded:
    """A trace as the profiler writes it, event by event; times in microseconds."""

    def __init__(self, device="NVIDIA A100-SXM4-40GB", world=1):
        self.events, self.number, self.device, self.world = [], 0, device, world

    def add(self, name, category, start, us, thread=1, **args):
        self.events.append(
            {"ph": "X", "cat": category, "name": name, "pid": 0, "tid": thread, "ts": start, "dur": us, "args": args}
        )

    def launch(self, at, kernel, start, us, *, stream=7, thread=1, name="cudaLaunchKernel", category="kernel", **more):
        self.number += 1
        self.add(name, "cuda_runtime", at, 5, thread, correlation=self.number)
        self.add(kernel, category, start, us, stream, stream=stream, correlation=self.number, **more)

    def json(self):
        properties = [{"id": 0, "name": self.device}]
        return {
            "deviceProperties": properties,
            "distributedInfo": {"world_size": self.world},
            "traceEvents": self.events,
        }


def on_the_device(steps=4, kernels=10, us=200, **more):
    """Each step launches its kernels in a row and waits for them: 10 us to launch one, 200 to run one."""
    trace, now = Recorded(**more), 1000
    for step in range(steps):
        end = now + 10
        for n in range(kernels):
            start = max(now + 10 * n + 10, end)
            trace.launch(now + 10 * n, "sgemm_128x64", start, us)
            end = start + us
        wait = now + 10 * kernels
        trace.add("cudaDeviceSynchronize", "cuda_runtime", wait, end + 5 - wait)
        trace.add(f"ProfilerStep#{step}", "user_annotation", now - 2, end + 10 - now)
        now = end + 20
    return trace


def on_the_host(steps=4):
    """Each step does 500 us of work of the host between two kernels of 50, and nobody waits for them."""
    trace, now = Recorded(), 1000
    for step in range(steps):
        for n in range(2):
            trace.launch(now + 500 * n, "elementwise_kernel", now + 500 * n + 10, 50)
        trace.add(f"ProfilerStep#{step}", "user_annotation", now - 2, 995)
        now += 1000
    return trace


def errors(trace):
    return rebuilt(trace_of(trace.json(), "t")).errors


def test_a_step_that_waits_for_the_device_takes_what_its_kernels_take():
    trace = trace_of(on_the_device().json(), "t")
    assert max(map(abs, rebuilt(trace).errors)) < 0.033
    assert again_us(graph_of(trace, 1)) == pytest.approx(2035, rel=0.033)
    assert rebuilt(trace).shares["compute"] > 0.95


def test_a_step_that_waits_for_the_host_takes_what_the_host_takes():
    trace = trace_of(on_the_host().json(), "t")
    assert max(map(abs, rebuilt(trace).errors)) < 0.033
    shares = rebuilt(trace).shares
    assert shares["idle"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_gaps_follow_from_dependencies_and_not_from_recorded_starts():
    """A kernel that begins 100 us later than anything made it, and takes 100 less, begins at once when replayed."""
    trace = on_the_device()
    for event in trace.events:
        if event["cat"] == "kernel" and event["args"]["correlation"] % 10 == 6:
            event["ts"] += 100
            event["dur"] -= 100
    graph = graph_of(trace_of(trace.json(), "t"), 1)
    assert again_us(graph) == pytest.approx(1935, rel=0.033)


def test_larger_batches_and_other_clocks_count_where_the_device_is_the_limit():
    device = graph_of(trace_of(on_the_device().json(), "t"), 1)
    host = graph_of(trace_of(on_the_host().json(), "t"), 1)
    before = again_us(device), again_us(host)
    assert again_us(scaled(device, Elsewhere(batch=2))) == pytest.approx(before[0] + 2000, rel=0.01)
    assert again_us(scaled(device, Elsewhere(clock=0.5))) == pytest.approx(before[0] + 2000, rel=0.01)
    assert again_us(scaled(host, Elsewhere(batch=2))) == pytest.approx(before[1], rel=0.01)


def test_another_type_counts_by_its_peak_for_products_and_its_bandwidth_for_the_rest():
    source, target = specification("V100"), specification("A100")
    device = graph_of(trace_of(on_the_device().json(), "t"), 1)
    ratio = source.fp32_flops / target.fp32_flops
    found = again_us(scaled(device, Elsewhere(source=source, target=target))) - again_us(device)
    assert found == pytest.approx(2000 * (ratio - 1), rel=0.02)
    for task in device.tasks:
        task.name = "vectorized_elementwise_kernel"
    found = again_us(scaled(device, Elsewhere(source=source, target=target))) - again_us(device)
    assert found == pytest.approx(2000 * (source.bandwidth / target.bandwidth - 1), rel=0.02)


def test_a_backward_pass_on_a_thread_of_its_own_holds_the_main_thread_up():
    trace, now = Recorded(), 1000
    for step in range(3):
        trace.launch(now, "forward", now + 10, 20)
        trace.launch(now + 300, "backward", now + 310, 20, thread=2)  # the main thread waits meanwhile
        trace.launch(now + 320, "update", now + 330, 20)
        trace.add(f"ProfilerStep#{step}", "user_annotation", now - 2, 900)
        now += 1000
    assert max(map(abs, errors(trace))) < 0.033
    graph = graph_of(trace_of(trace.json(), "t"), 1)
    assert [call.after for call in graph.calls] == [-1, 0, 1]


def test_a_stream_that_waits_for_another_waits_in_the_replay_too():
    trace, now = Recorded(world=2), 1000
    for step in range(3):
        trace.launch(now, "backward", now + 10, 400)
        trace.add("cudaStreamWaitEvent", "cuda_runtime", now + 20, 2)
        trace.launch(now + 30, "ncclKernel_AllReduce", now + 412, 300, stream=20)
        trace.add("cudaDeviceSynchronize", "cuda_runtime", now + 50, 667)
        trace.add(f"ProfilerStep#{step}", "user_annotation", now - 2, 900)
        now += 1000
    found = rebuilt(trace_of(trace.json(), "t"))
    assert max(map(abs, found.errors)) < 0.033
    assert found.shares["communication"] == pytest.approx(0.3, abs=0.05)
    assert max(map(abs, rebuilt_from_one(trace_of(trace.json(), "t"), 1))) < 0.033
    graph = graph_of(trace_of(trace.json(), "t"), 1)
    more = again_us(scaled(graph, Elsewhere(world=2, gpus=4))) - again_us(graph)
    assert more == pytest.approx(300 * ((2 * 3 / 4) / (2 * 1 / 2) - 1), rel=0.05)


def test_boards_are_known_by_the_names_of_their_drivers():
    names = (
        "NVIDIA A100-PG509-200",
        "Tesla V100-SXM2-16GB",
        "NVIDIA GeForce RTX 2080 Ti",
        "NVIDIA H100 80GB HBM3",
        "?",
    )
    assert [type_of(name) for name in names] == ["A100", "V100", "RTX-2080-Ti", "H100", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "it is no JSON"),
        ("[]", "a trace is an object"),
        ('{"traceEvents": []}', "it has no event of a GPU"),
        ('{"schema": "1.1.0-chakra.0.0.4", "nodes": []}', "has no times"),
        ('{"traceEvents": null}', "not as PyTorch's profiler writes it"),
        ('{"traceEvents": [0]}', "not as PyTorch's profiler writes it"),
        ("[" * 200_000, "it is no JSON"),
    ],
)
def test_what_is_no_profile_is_refused_with_a_remedy(text, said, tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_traces(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ts", None), ("ts", float("nan")), ("dur", float("inf")), ("dur", -5), ("args", None), ("name", KeyError)],
)
def test_a_kernel_that_is_not_as_the_profiler_writes_it_is_named(key, value):
    trace = on_the_device()
    if value is KeyError:
        del trace.events[1][key]
    else:
        trace.events[1][key] = value
    with pytest.raises(InputError, match=r"t: it is not as PyTorch's profiler writes it"):
        trace_of(trace.json(), "t")


def test_a_step_in_which_nothing_was_called_is_refused():
    trace = on_the_device()
    trace.add("ProfilerStep#9", "user_annotation", 1e6, 100)
    for look in (rebuilt, lambda found: graph_of(found, 4)):
        with pytest.raises(InputError, match="no call of its main thread"):
            look(trace_of(trace.json(), "t"))


def archive(path, **texts):
    with tarfile.open(path, "w:gz") as file:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            file.addfile(member, io.BytesIO(text))
    return path


def test_traces_of_ranks_with_one_name_are_told_apart_and_packed_ones_are_read(tmp_path):
    text = json.dumps(on_the_device().json()).encode()
    path = archive(
        tmp_path / "ranks.tar.gz", **{"0/t.json": text, "1/t.json": text, "2.json.gz": gzip.compress(text, mtime=0)}
    )
    assert list(read_traces(path)) == ["0/t.json", "1/t.json", "2.json.gz"]
    with pytest.raises(InputError, match=r"no \.json"):
        read_traces(archive(tmp_path / "none.tgz", readme=b"x"))


@pytest.mark.parametrize("name", ["t.json.gz", "t.tar.gz", "t.tar"])
@pytest.mark.parametrize(
    "packed", [b"", b"{}", gzip.compress(b"{}" * 99, mtime=0)[:-9], gzip.compress(b"x", mtime=0)[:10] + b"\xff" * 9]
)
def test_what_cannot_be_unpacked_is_refused(name, packed, tmp_path):
    path = tmp_path / name
    path.write_bytes(packed)
    with pytest.raises(InputError):
        read_traces(path)


def test_more_than_fits_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("kilowait.predict.profiled.kineto.MOST_BYTES", 1000)
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(b" " * 10_000_000, mtime=0))
    for bomb in (path, archive(tmp_path / "t.tar.gz", **{"t.json": b" " * 10_000})):
        with pytest.raises(InputError, match="more than 1,000 bytes unpacked"):
            read_traces(bomb)


def test_the_command_says_what_it_found_and_what_is_unproven(tmp_path, capsys):
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(json.dumps(on_the_device().json()).encode()))
    assert main(["replay", str(path), "--device", "H100"]) == 0
    said = capsys.readouterr().out
    assert "3 steps on 1 x NVIDIA A100-SXM4-40GB (A100)" in said
    assert "across GPU types unproven" in said
    assert main(["replay", str(path), "--batch", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["trace.json.gz"]
    assert found["elsewhere_ms"]["as asked"] == pytest.approx(found["one_step_ms"] + 2.0, rel=0.01)
    assert main(["replay", str(path), "--device", "no such"]) == 2
    with pytest.raises(SystemExit):
        main(["replay", str(path), "--gpus", "-4"])
