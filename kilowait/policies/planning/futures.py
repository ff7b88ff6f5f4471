"""Futures that could be: arrivals drawn from a self-exciting process, and jobs like those submitted last.

Source: Hawkes, "Spectra of some self-exciting and mutually exciting point processes", Biometrika 58(1), 1971, in the
form of clusters (Hawkes and Oakes, Journal of Applied Probability 11(3), 1974): every arrival brings more, a Poisson
number of them with mean `clustering`, each after an exponential time of `cluster_s` on average. So a burst makes more
of it likely, and dies out.

Not covered: the rhythm of day and week, and jobs of one burst that resemble each other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.units import DAY_S


class Futures(NamedTuple):
    """Scenarios of arrivals: row s has `counts[s]` of them, at `arrive_s` ascending, like job `like` of those known."""

    counts: IntArray
    arrive_s: FloatArray
    like: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalModel:
    """A self-exciting process: `clustering` (0: Poisson, < 1) further arrivals by each, `cluster_s` seconds on average
    after it; those of the next `ahead_s` seconds are drawn, or of as many as `most` arrivals take on average."""

    clustering: float
    cluster_s: float
    ahead_s: float
    most: int

    def draw(self, known_s: FloatArray, now_s: float, scenarios: int, rng: np.random.Generator) -> Futures:
        """Arrivals after `now_s`, given the earlier ones `known_s` (n,), n >= 1, ascending.

        As many arrive on average as did since the first of them, or in a day where that is longer.
        """
        rate = len(known_s) / max(now_s - known_s[0], DAY_S)
        ahead_s = min(self.ahead_s, self.most / rate)
        spontaneous = rng.poisson(rate * (1 - self.clustering) * ahead_s, scenarios)
        row = np.repeat(np.arange(scenarios), spontaneous)
        at_s = now_s + rng.uniform(0, ahead_s, len(row))
        expected = self.clustering * np.exp(-(now_s - known_s) / self.cluster_s)
        offspring = rng.poisson(expected, (scenarios, len(known_s)))
        rows, times_s = [row], [at_s]
        row = np.repeat(np.arange(scenarios), offspring.sum(axis=1))
        at_s = now_s + rng.exponential(self.cluster_s, len(row))
        rows.append(row)
        times_s.append(at_s)
        row, at_s = np.concatenate(rows), np.concatenate(times_s)
        return self._packed(*self._with_offspring(row, at_s, now_s + ahead_s, rng), len(known_s), scenarios, rng)

    def _with_offspring(
        self, row: IntArray, at_s: FloatArray, end_s: float, rng: np.random.Generator
    ) -> tuple[IntArray, FloatArray]:
        """These arrivals before `end_s`, and all that they bring, generation after generation."""
        inside = at_s < end_s
        row, at_s = row[inside], at_s[inside]
        rows, times_s = [row], [at_s]
        while len(row):
            children = rng.poisson(self.clustering, len(row))
            row, at_s = np.repeat(row, children), np.repeat(at_s, children)
            at_s = at_s + rng.exponential(self.cluster_s, len(row))
            inside = at_s < end_s
            row, at_s = row[inside], at_s[inside]
            rows.append(row)
            times_s.append(at_s)
        return np.concatenate(rows), np.concatenate(times_s)

    def _packed(self, row: IntArray, at_s: FloatArray, known: int, scenarios: int, rng: np.random.Generator) -> Futures:
        """A row a scenario, its first `most` arrivals, each like a known job drawn at random."""
        order = np.lexsort((at_s, row))
        row, at_s = row[order], at_s[order]
        counts = np.bincount(row, minlength=scenarios)
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = place < self.most
        counts = np.minimum(counts, self.most)
        arrive_s = np.full((scenarios, max(1, int(counts.max(initial=0)))), np.inf)
        arrive_s[row[kept], place[kept]] = at_s[kept]
        return Futures(counts=counts, arrive_s=arrive_s, like=rng.integers(0, known, arrive_s.shape))
