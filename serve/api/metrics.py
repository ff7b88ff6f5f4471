"""Prometheus metrics at /metrics. What comes from the log (counts, waits, energy) survives a restart; the times of
decisions are of the scheduler's present process, the counts of predictions of this replica.

`provenance` is a label wherever a number is not a plain count.
"""

import time
from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from kilowait.core.units import JOULES_PER_KWH
from kilowait.live.mirror import WAIT_BOUNDS_S, Mirror

from ..desk import questions
from ..desk.desk import Desk
from ..desk.learner import Learner
from ..desk.today import Days, errors_view, how_had, today_view


class _FixedCollector:
    """A collector of what was found for one scrape."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def text(desk: Desk, days: Days, learner: Learner) -> bytes:
    """All metrics in Prometheus' text format."""
    mirror, day = await desk.mirror(), await days.day()
    decisions, decision_s = await desk.scheduler.decision_times.remote()
    energy = await desk.ask(questions.energy)
    metrics = [*_queue(mirror), *_decisions(decisions, decision_s), _predictions(desk), _energy(energy)]
    today = today_view(day)
    for name, help_text, value in (
        (
            "kilowait_energy_saved_today_kwh",
            "Simple replayed minus had, comparable jobs since midnight",
            today.saved_kwh,
        ),
        ("kilowait_energy_simple_today_kwh", "Simple replayed, comparable jobs", today.simple_energy_kwh),
    ):
        metrics.append(_labelled(GaugeMetricFamily, name, help_text, ["provenance"], [(["modelled"], value)]))
    if (errors := errors_view(day.rows)) is not None:
        provenance = how_had(day.rows)
        values = [([quantile, provenance], value) for quantile, value in errors.items()]
        help_text = "|predicted - had| / had of run times, jobs finished since midnight"
        labels = ["quantile", "provenance"]
        metrics.append(_labelled(GaugeMetricFamily, "kilowait_prediction_error_ratio", help_text, labels, values))
    metrics += _learning(desk, learner)
    registry = CollectorRegistry()
    registry.register(_FixedCollector(metrics))
    return generate_latest(registry)


def _queue(mirror: Mirror) -> Iterable[Metric]:
    cluster = mirror.cluster
    job_counts = [
        (["waiting"], len(cluster.waiting) + len(cluster.lines)),
        (["running"], len(cluster.active)),
        (["stranded"], len(cluster.stranded)),
    ]
    yield _labelled(GaugeMetricFamily, "kilowait_jobs", "jobs that are not over", ["state"], job_counts)
    event_counts = [
        ([name], getattr(mirror, name)) for name in ("submitted", "placed", "finished", "failed", "cancelled")
    ]
    yield _labelled(CounterMetricFamily, "kilowait_job_events", "what happened to jobs", ["event"], event_counts)
    gpus = [([t, "total"], n) for t, n in cluster.total.items()] + [([t, "free"], n) for t, n in cluster.free.items()]
    yield _labelled(GaugeMetricFamily, "kilowait_gpus", "GPUs by type", ["gpu_type", "state"], gpus)
    first_submitted_s = min((w.job.submit_s for w in cluster.queue()), default=None)
    oldest_wait = GaugeMetricFamily(
        "kilowait_oldest_wait_seconds", "how long the first of the queue has waited, measured"
    )
    oldest_wait.add_metric([], 0.0 if first_submitted_s is None else max(0.0, time.time() - first_submitted_s))
    yield oldest_wait
    counts = np.cumsum(mirror.waits).tolist()
    bounds = ["+Inf" if bound == np.inf else f"{bound:g}" for bound in WAIT_BOUNDS_S]
    waits = HistogramMetricFamily("kilowait_wait_seconds", "from submission to the first placement, measured")
    waits.add_metric([], list(zip(bounds, counts, strict=True)), mirror.wait_s_sum)
    yield waits


def _decisions(decisions: int, decision_s: Sequence[float]) -> Iterable[Metric]:
    count = CounterMetricFamily(
        "kilowait_decisions", "rounds of the policy in which a job waited, since the scheduler started"
    )
    count.add_metric([], decisions)
    yield count
    if decision_s:
        values = [([f"{q:g}"], float(np.quantile(decision_s, q))) for q in (0.5, 0.99)]
        help_text = "policy and durable commit where a job waited, measured, the last 10,000 rounds"
        yield _labelled(GaugeMetricFamily, "kilowait_decision_seconds", help_text, ["quantile"], values)


def _predictions(desk: Desk) -> Metric:
    forecasts = desk.forecasts
    values = [(["cached"], forecasts.hits), (["computed"], forecasts.misses), (["refused"], forecasts.refused)]
    values.append((["late"], forecasts.late))
    return _labelled(CounterMetricFamily, "kilowait_predictions", "predictions asked for", ["result"], values)


def _learning(desk: Desk, learner: Learner) -> Iterable[Metric]:
    """What is in force, how it keeps its promise, and what refits came to."""
    base, correction = desk.forecasts.version or "", desk.corrections.version or ""
    help_text = "what predicts: the base, and the correction in force (empty for none)"
    labels = ["base", "correction"]
    yield _labelled(GaugeMetricFamily, "kilowait_model_version", help_text, labels, [([base, correction], 1)])
    refits = [([outcome], n) for outcome, n in sorted(learner.refits.items())]
    yield _labelled(CounterMetricFamily, "kilowait_refits", "rounds of learning of this replica", ["outcome"], refits)
    if (drift := learner.drift) is None:
        return
    values = [(["median_log_error"], drift.median), (["median_log_error_band"], drift.median_band)]
    if drift.coverage is not None:
        values += [(["coverage"], drift.coverage), (["coverage_band"], drift.coverage_band)]
    help_text = f"run times of the last {drift.jobs} jobs by the model in force, and where their bands end"
    yield _labelled(GaugeMetricFamily, "kilowait_prediction_drift", help_text, ["sign"], values)
    beyond = GaugeMetricFamily("kilowait_prediction_drift_beyond", "1 where a sign of drift is out of its band")
    beyond.add_metric([], float(bool(drift.beyond)))
    yield beyond


def _energy(totals: Sequence[tuple[str, str, float, int]]) -> Metric:
    values = [([gpu_type, provenance], joules / JOULES_PER_KWH) for gpu_type, provenance, joules, _ in totals]
    help_text = "energy of all attempts that have ended"
    return _labelled(CounterMetricFamily, "kilowait_energy_kwh", help_text, ["gpu_type", "provenance"], values)


def _labelled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    help_text: str,
    labels: Sequence[str],
    values: Iterable[tuple[Sequence[str], float]],
) -> Metric:
    metric = kind(name, help_text, labels=labels)
    for label_values, value in values:
        metric.add_metric(label_values, value)
    return metric
