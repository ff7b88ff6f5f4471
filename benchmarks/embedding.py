"""Embedding speed beside a plain transformers loop and beside what the cores can multiply.

    python -m benchmarks.embedding --corpus out/corpus --count 8 --dtype auto,bfloat16 --json out/embedding.json

plain:    AutoModel with its defaults, one text at a time, output_hidden_states=True, then the mean of the layer asked.
embedder: kilowait.predict.embed.embedding.Embedder, mean of the same layer.
pipeline: python -m pipelines.embed with one actor a core over the same texts (--pipeline); its rate is given with the
          start of the actors (elapsed) and without (busy), beside a plain loop that has all its threads.

Both loops get the same texts, dtype, layer and threads, in two processes that take turns text by text, so that other
load on the machine hits both alike; each text is timed --repeats times and its fastest pass counts. The cores' rate
is measured in the same run on the shapes of the model's own matrices. FLOPs: 2 a parameter of the blocks that run and
token, plus 4 a channel of the heads and a pair of tokens that attend; embeddings and norms count nothing.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from benchmarks.json_record import keep
from kilowait.core.errors import InputError, KilowaitError
from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import best_dtype, load_language_model, locate_model
from kilowait.program.source import Source, read_source

_loaded: dict[str, object] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way of embedding, timed. Rates in tokens/s and GFLOP/s; shares are of the cores' measured matmul rates."""

    loop: str
    dtype: str
    layer: int
    threads: int
    tokens: int
    tokens_per_s: float
    ratio_to_plain: float
    gflop_per_s: float
    share_of_dtype_rate: float
    share_of_bfloat16_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds and FLOPs of the same texts under one loop."""

    tokens: int
    seconds: float
    flops: float = 0.0


def load_plain(dtype: str, threads: int) -> None:
    """Load the model as a plain script would, in this worker process."""
    torch.set_num_threads(threads)
    path = locate_model().path
    _loaded["tokenizer"] = AutoTokenizer.from_pretrained(path)
    _loaded["model"] = AutoModel.from_pretrained(path, dtype=getattr(torch, dtype)).eval()


def time_plain(source: Source, layer: int) -> tuple[int, float]:
    """Tokens and seconds of one plain pass."""
    started = time.perf_counter()
    inputs = _loaded["tokenizer"](source.text, return_tensors="pt")
    with torch.no_grad():
        states = _loaded["model"](**inputs, output_hidden_states=True).hidden_states
        states[layer][0].float().mean(0).numpy()
    return inputs["input_ids"].shape[1], time.perf_counter() - started


def load_embedder(dtype: str, threads: int) -> None:
    """Load the Embedder in this worker process."""
    _loaded["embedder"] = Embedder(load_language_model(dtype=dtype), threads=threads)


def time_embedder(source: Source, layer: int) -> tuple[int, float]:
    """Tokens and seconds of one pass of the Embedder."""
    started = time.perf_counter()
    embedding = _loaded["embedder"].embed(source, [FeatureConfiguration(layer=layer)])[0]
    return embedding.tokens, time.perf_counter() - started


def matmul_rate(dtype: str, threads: int, tokens: int) -> float:
    """FLOP/s of one block's matrices applied to `tokens` rows, the fastest of 5 passes over the shapes."""
    torch.set_num_threads(threads)
    block = load_language_model(dtype=dtype).blocks[0]
    layers = [module for module in block.modules() if isinstance(module, nn.Linear)]
    inputs = {m.in_features: torch.randn(tokens, m.in_features).to(m.weight.dtype) for m in layers}
    flops = sum(2 * tokens * m.weight.numel() for m in layers)

    def once() -> float:
        started = time.perf_counter()
        for module in layers:
            module(inputs[module.in_features])
        return time.perf_counter() - started

    with torch.inference_mode():
        return flops / min(once() for _ in range(6))


def block_flops(tokens: int) -> float:
    """Useful FLOPs of one block over one text: its matrices, and the pairs of tokens that causal attention sees."""
    config = json.loads((locate_model().path / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    parameters = 2 * width * heads + 2 * width * keys + 3 * width * inner
    return 2 * parameters * tokens + 4 * heads * tokens * (tokens + 1) / 2


def race(sources: Sequence[Source], layer: int, dtype: str, threads: int, repeats: int) -> dict[str, Speed]:
    """Time the plain loop and the Embedder text by text, in turns."""
    loops = {"plain": (load_plain, time_plain), "embedder": (load_embedder, time_embedder)}
    workers = {
        name: ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=load, initargs=(dtype, threads)
        )
        for name, (load, _) in loops.items()
    }
    try:
        for name, (_, timed) in loops.items():
            workers[name].submit(timed, min(sources, key=lambda s: len(s.text)), layer).result()  # warm up
        passes: dict[str, list[tuple[int, float]]] = {name: [] for name in loops}
        for source in tqdm(sources, desc=f"{dtype}, layer {layer}, {threads} threads", unit="text", leave=False):
            laps: dict[str, list[tuple[int, float]]] = {name: [] for name in loops}
            for _ in range(repeats):
                for name, (_, timed) in loops.items():
                    laps[name].append(workers[name].submit(timed, source, layer).result())
            for name in loops:
                passes[name].append(min(laps[name], key=lambda lap: lap[1]))
    finally:
        for worker in workers.values():
            worker.shutdown()
    return {name: _speed(timings, layer) for name, timings in passes.items()}


def _speed(passes: Sequence[tuple[int, float]], layer: int) -> Speed:
    return Speed(
        tokens=sum(tokens for tokens, _ in passes),
        seconds=sum(seconds for _, seconds in passes),
        flops=sum(layer * block_flops(tokens) for tokens, _ in passes),
    )


def time_pipeline(paths: Sequence[Path], layer: int, dtype: str, actors: int) -> tuple[Speed, Speed]:
    """The pipeline over the same texts, with and without the start of its actors."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "pipelines.embed", "--corpus", *map(str, paths), "--out", out, "--json"]
        command += ["--layer", str(layer), "--dtype", dtype, "--actors", str(actors), "--shard-size", "4"]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    summary = json.loads(run.stdout)
    tokens = summary["tokens"]

    busy_s = tokens / (summary["busy_tokens_per_s"] * actors)
    return (
        Speed(tokens=tokens, seconds=summary["elapsed_s"]),
        Speed(tokens=tokens, seconds=busy_s),
    )


def measure(options: argparse.Namespace, paths: Sequence[Path]) -> tuple[dict[str, float], list[Row]]:
    """The matmul rate of each dtype and thread count (GFLOP/s), and a row a loop."""
    sources = [read_source(path) for path in paths]
    dtypes = [str(best_dtype()).removeprefix("torch.") if d == "auto" else d for d in options.dtype.split(",")]
    rates: dict[str, float] = {}
    rows: list[Row] = []
    counts = [options.threads, *([options.pipeline * options.threads] if options.pipeline else [])]
    for threads in dict.fromkeys(counts):
        for dtype in dict.fromkeys([*dtypes, "bfloat16"]):
            rates[f"{dtype} x{threads}"] = matmul_rate(dtype, threads, 1600) / 1e9
        for dtype in dict.fromkeys(dtypes):
            for layer in (int(k) for k in options.layer.split(",")):
                speeds = race(sources, layer, dtype, threads, options.repeats)
                flops = speeds["plain"].flops
                if options.pipeline and threads == counts[-1]:
                    whole, busy = time_pipeline(paths, layer, dtype, options.pipeline)
                    speeds |= {
                        f"pipeline x{options.pipeline} elapsed": whole,
                        f"pipeline x{options.pipeline} busy": busy,
                    }
                for loop, speed in speeds.items():
                    rows.append(_row(loop, speed, speeds["plain"], flops, dtype, layer, threads, rates))
    return rates, rows


def _row(
    loop: str, speed: Speed, plain: Speed, flops: float, dtype: str, layer: int, threads: int, rates: dict[str, float]
) -> Row:
    gflop_per_s = flops / speed.seconds / 1e9
    return Row(
        loop=loop,
        dtype=dtype,
        layer=layer,
        threads=threads,
        tokens=speed.tokens,
        tokens_per_s=speed.tokens / speed.seconds,
        ratio_to_plain=plain.seconds / speed.seconds,
        gflop_per_s=gflop_per_s,
        share_of_dtype_rate=gflop_per_s / rates[f"{dtype} x{threads}"],
        share_of_bfloat16_rate=gflop_per_s / rates[f"bfloat16 x{threads}"],
    )


def report(rates: dict[str, float], rows: Sequence[Row]) -> None:
    """The rates and the rows as text."""
    for name, rate in rates.items():
        print(f"matmul on this model's shapes, {name} threads: {rate:,.0f} GFLOP/s (measured)")
    print(f"\n{'loop':22} {'dtype':9} {'layer':>5} {'thr':>3} {'tokens/s':>9} {'x plain':>8} {'GFLOP/s':>8}", end="")
    print(f" {'of dtype':>9} {'of bf16':>8}")
    for r in rows:
        print(
            f"{r.loop:22} {r.dtype:9} {r.layer:5} {r.threads:3} {r.tokens_per_s:9,.0f} {r.ratio_to_plain:8.2f}", end=""
        )
        print(f" {r.gflop_per_s:8,.0f} {r.share_of_dtype_rate:9.0%} {r.share_of_bfloat16_rate:8.0%}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit code 2 on a wrong option."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.embedding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--corpus", required=True, type=Path, help="a folder of .py files")
    p.add_argument("--count", type=int, default=8, help="texts, evenly spaced by size (default: %(default)s)")
    p.add_argument("--layer", default="6,30", help="default: %(default)s")
    p.add_argument("--dtype", default="auto", help="of auto, bfloat16, float32 (default: %(default)s)")
    p.add_argument("--threads", type=int, default=1, help="of each loop (default: %(default)s)")
    p.add_argument("--repeats", type=int, default=2, help="passes a text; the fastest counts (default: %(default)s)")
    p.add_argument("--pipeline", type=int, default=0, metavar="ACTORS", help="also time the pipeline with that many")
    p.add_argument("--json", type=Path, help="also write rates and rows here")
    options = p.parse_args(argv)
    try:
        paths = sorted(options.corpus.rglob("*.py"), key=lambda path: (path.stat().st_size, path))
        if len(paths) < options.count:
            raise InputError(f"{options.corpus}: {len(paths)} .py files, --count {options.count} are asked for")
        sample_paths = [paths[(2 * i + 1) * len(paths) // (2 * options.count)] for i in range(options.count)]
        rates, rows = measure(options, sample_paths)
    except KilowaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report(rates, rows)
    keep({"matmul_gflop_per_s": rates, "rows": [asdict(row) for row in rows]}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
