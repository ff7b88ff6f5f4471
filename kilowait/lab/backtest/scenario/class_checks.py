"""The class tables held against public measurements, number by number.

Reads, from one folder, whichever of these files there are (columns as named; each row says whose data it is):
a100_vs_ga102_ratios.csv (Lambda Labs deep-learning benchmark), perseus_power_limit_sweep.csv and
zeus_power_limit_sweep.csv (ml-energy/zeus), kernelbench_v0_l1_l2_ms.csv (KernelBench timings),
acme_a100_power_cdf.csv (AcmeTrace), A100_chat_benchmark.csv and A40_chat_benchmark.csv (ml-energy/leaderboard,
data/legacy). No RTX A6000 power is public, so the A40, on the same die with the same 300 W limit, stands in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kilowait.core.errors import InputError
from kilowait.lab.backtest.scenario.job_classes import JobClass

MIN_KERNEL_MS = 1.0
"""Below this a program's time is the host's launching, and two hosts differ by two."""

IDLING_W = (75.0, 110.0)
"""Acme's plateau between idle boards (66 W and less) and working ones: a job is there and does little.

Where it begins and ends is our reading of the distribution; that there is one is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number of a table beside what was measured: median and quartiles of `count` workloads."""

    job_class: str
    quantity: str
    table: float
    low: float
    median: float
    high: float
    count: int
    source: str

    @property
    def inside(self) -> bool:
        """Whether the table's number lies between the measured quartiles, give or take 5% of the median."""
        slack = 0.05 * self.median
        return self.low - slack <= self.table <= self.high + slack


Reader = Callable[[Path], "pd.Series[float]"]


def _lambda_fp16(folder: Path) -> "pd.Series[float]":
    """Against the 80 GB PCIe board, whose watts Perseus measured: time and power of one and the same board."""
    rows = _csv(folder, "a100_vs_ga102_ratios.csv")
    rows = rows[rows.source.str.startswith("lambda") & rows.workload.str.endswith("fp16 train")]
    rows = rows[(rows.gpu_a == "A100 80GB PCIe") & (rows.gpu_b == "RTX A6000")]
    return pd.Series(rows["ratio_b_over_a"])


def _perseus_w(folder: Path, gpu: str) -> "pd.Series[float]":
    """Watts a GPU by model at the highest power limit."""
    rows = _csv(folder, "perseus_power_limit_sweep.csv")
    rows = rows[(rows.policy == "zeus_global") & rows.gpu.str.startswith(gpu)]
    top = rows.loc[rows.groupby("model_name").power_limit_0.idxmax()]
    return top.energy / top.time / (top.dp * top.tp * top.pp)


def _zeus(folder: Path) -> pd.DataFrame:
    """Runs at their board's highest power limit."""
    rows = _csv(folder, "zeus_power_limit_sweep.csv")
    return rows.loc[rows.groupby(["gpu", "dataset", "network", "batch_size", "optimizer"]).power_limit.idxmax()]


def _heavy_ga102_w(folder: Path) -> "pd.Series[float]":
    runs = _zeus(folder)
    runs = runs[(runs.gpu == "a40") & runs.network.isin(["resnet50", "bert_base_uncased"])]
    zeus = runs.groupby(["dataset", "network"])["average_power"].median()
    return pd.Series(np.concatenate([zeus, _perseus_w(folder, "A40")]))


def _zeus_a40_w(network: str, dataset: str) -> Reader:
    def read(folder: Path) -> "pd.Series[float]":
        runs = _zeus(folder)
        return runs[(runs.gpu == "a40") & (runs.network == network) & (runs.dataset == dataset)].average_power

    return read


def _ncf_time(folder: Path) -> "pd.Series[float]":
    """A40 over V100, by batch size: both wait for the host."""
    runs = _zeus(folder)
    wide = runs[runs.network == "ncf"].pivot_table(index="batch_size", columns="gpu", values="time_per_epoch")
    return (wide["a40"] / wide["v100"]).dropna()


def _kernels(folder: Path) -> pd.DataFrame:
    rows = _csv(folder, "kernelbench_v0_l1_l2_ms.csv")
    return rows.pivot_table(index=["level", "problem"], columns="run", values="mean")


def _small_kernels(folder: Path) -> "pd.Series[float]":
    """The faster host's run: the slower one doubles every launch."""
    wide = _kernels(folder)
    return (wide["A6000_run1"] / wide["A100-40GB"])[wide["A100-40GB"] < MIN_KERNEL_MS]


def _matrix_products(folder: Path) -> "pd.Series[float]":
    wide = _kernels(folder)
    names = wide.index.get_level_values("problem")
    product = (wide.index.get_level_values("level") == "level1") & names.str.contains("matmul|matrix", case=False)
    ratio = np.sqrt(wide["A6000_run1"] * wide["A6000_run2"]) / wide["A100-40GB"]
    return pd.Series(ratio[product & (wide["A100-40GB"] > MIN_KERNEL_MS)])


def _acme_plateau(folder: Path) -> "pd.Series[float]":
    watts = _csv(folder, "acme_a100_power_cdf.csv").gpu_power_W
    return watts[watts.between(*IDLING_W)]


def _chat(folder: Path, gpu: str) -> pd.DataFrame:
    rows = _csv(folder, f"{gpu}_chat_benchmark.csv").set_index("model")
    return pd.DataFrame(
        {"token_s": rows.latency / rows.response_length, "watts": rows.energy / rows.latency}, index=rows.index
    )


def _chat_time(folder: Path) -> "pd.Series[float]":
    return (_chat(folder, "A40").token_s / _chat(folder, "A100").token_s).dropna()


_READERS: Sequence[tuple[str, str, str, Reader]] = (
    ("heavy mixed precision", "a6000_factor", "Lambda fp16 training, A6000 over A100 80GB PCIe", _lambda_fp16),
    ("heavy mixed precision", "a100_w", "Perseus, A100 PCIe", lambda folder: _perseus_w(folder, "A100")),
    ("heavy mixed precision", "a6000_w", "Zeus ResNet-50 and BERT, Perseus, A40", _heavy_ga102_w),
    ("launch-bound", "a6000_factor", "KernelBench under 1 ms, A6000 over A100-40GB", _small_kernels),
    ("launch-bound", "a6000_factor", "Zeus NCF, A40 over V100", _ncf_time),
    ("launch-bound", "a100_w", "Acme plateau, A100", _acme_plateau),
    ("launch-bound", "a6000_w", "Zeus NCF, A40", _zeus_a40_w("ncf", "movielens-1m")),
    ("fp32 without TF32", "a6000_factor", "KernelBench matrix products, A6000 over A100-40GB", _matrix_products),
    ("fp32 without TF32", "a6000_w", "Zeus BERT on SQuAD, A40", _zeus_a40_w("bert_base_uncased", "squad")),
    ("inference", "a6000_factor", "ML.ENERGY chat, A40 over A100, a token", _chat_time),
    ("inference", "a100_w", "ML.ENERGY chat, A100", lambda folder: _chat(folder, "A100").watts),
    ("inference", "a6000_w", "ML.ENERGY chat, A40", lambda folder: _chat(folder, "A40").watts),
)


def checks(folder: Path, table: Sequence[JobClass]) -> list[Check]:
    """Every number of the table that a file in `folder` speaks about.

    Raises InputError when the folder holds none of the files, or one that lacks a column.
    """
    by_name: Mapping[str, JobClass] = {c.name: c for c in table}
    found = []
    for job_class, quantity, source, read in _READERS:
        if job_class in by_name:
            try:
                measured = read(folder)
            except FileNotFoundError:
                continue
            except (KeyError, AttributeError) as error:
                raise InputError(f"{folder}: {source}: a column is missing: {error}") from error
            found.append(_check(by_name[job_class], quantity, source, measured))
    if not found:
        raise InputError(f"{folder}: holds none of the public measurement files for these classes")
    return found


def _check(job_class: JobClass, quantity: str, source: str, measured: "pd.Series[float]") -> Check:
    low, median, high = (float(q) for q in measured.quantile([0.25, 0.5, 0.75]))
    return Check(
        job_class=job_class.name,
        quantity=quantity,
        table=float(getattr(job_class, quantity)),
        low=low,
        median=median,
        high=high,
        count=len(measured),
        source=source,
    )


def _csv(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name)
