"""A source's vectors: one pass through the language model serves every pooling and layer asked for.

Which hidden state: with norm "raw", layer k is the output of block k as it enters block k + 1, before any final norm
(transformers' `hidden_states[k]` for k below the number of blocks; its last entry is taken after the final norm).
With norm "final" that output goes through the model's final norm, token by token, before pooling; at the last block
this is transformers' `last_hidden_state`.

The pass stops after the deepest block asked for, never reaches the language-model head and keeps no hidden states:
each is pooled as its block ends. Sources run one at a time: at 1,600 tokens one source fills a core, and batches of
2 or 4 gained nothing within the noise on CPU. Not covered: padding and batches, so a small model leaves much of a
GPU idle.
"""

import ctypes
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kilowait.core.errors import InputError, ModelError, SourceError
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import (
    LanguageModel,
    ModelLocation,
    Tokenize,
    TokenizedText,
    load_language_model,
)
from kilowait.predict.embed.literals import Literals, find_literals
from kilowait.predict.embed.packaged_model import DEFAULT_MODEL
from kilowait.program.source import Source

SUFFIX = "\n\n# Running time, energy use and the work that dominates this program, in one word:"
"""The prompt that "suffix" pooling appends, once, after the source; a change of it changes every suffix vector."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>

_SUMS = ("mean", "numbers")

State = tuple[int, str, str]
"""What of a hidden state is kept: layer, norm, pooling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """The vector (d,) of one source under one feature configuration, and how much was read for it."""

    content_hash: str
    features: str
    tokens: int
    windows: int
    vector: NDArray[np.float32]


LONG_WINDOW = 2048
"""Tokens of a pass over a source of which only a part is read: the work grows with the square of a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What a pass reads: the source's tokens, what follows them, and the numbers among them."""

    ids: list[int]
    suffix: list[int]
    literals: Literals


class _DeepestReached(Exception):  # noqa: N818 - not an error: it ends a pass whose remaining blocks nobody needs
    pass


class Embedder:
    """Turns sources into vectors with `model` (a name is loaded), deterministically on one machine and dtype.

    `threads` is set for the whole process. A source of more than `window` tokens is read in windows of equal size
    without overlap, each from position 0: "mean" is the mean over all tokens of all windows, "last" and "suffix"
    come from the final window. The default window is the model's context less the suffix. Of a source of more than
    `most_tokens` so many are read, in windows of at most `LONG_WINDOW`: the last, the first and evenly between; sums
    are scaled up to the whole. None reads all.
    """

    def __init__(
        self,
        model: LanguageModel | str = DEFAULT_MODEL,
        *,
        threads: int = 1,
        window: int | None = None,
        most_tokens: int | None = None,
    ) -> None:
        if threads < 1:
            raise InputError(f"threads must be >= 1, got {threads!r}")
        if most_tokens is not None and most_tokens < 1:
            raise InputError(f"most_tokens must be >= 1, got {most_tokens!r}")
        self.most_tokens = most_tokens
        self.model = load_language_model(model) if isinstance(model, str) else model
        self._suffix = self.model.tokenize(SUFFIX).ids
        self.window = window_size(self.model.location, self.model.tokenize, window)
        torch.set_num_threads(threads)
        if self.model.device.type == "cpu":
            _keep_freed_memory()

    def embed(self, source: Source, configurations: Sequence[FeatureConfiguration]) -> list[Embedding]:
        """One embedding a configuration, in their order.

        Raises ModelError when a configuration asks for another model, revision or layer, SourceError when the text
        has no tokens.
        """
        self._check(configurations)
        tokens = self.model.tokenize(source.text)
        if not tokens.ids:
            raise SourceError(f"{source.name}: the text has no tokens; nothing to predict from")
        windows = self._windows(len(tokens.ids))
        pooled = self._pool_windows(source.text, tokens, windows, {_state(c) for c in configurations})
        return [
            Embedding(
                content_hash=source.content_hash,
                features=configuration.key,
                tokens=len(tokens.ids),
                windows=len(windows),
                vector=pooled[_state(configuration)].cpu().numpy(),
            )
            for configuration in configurations
        ]

    def _windows(self, tokens: int) -> Sequence[range]:
        """Which tokens are read, a pass each."""
        if self.most_tokens is None or tokens <= self.most_tokens:
            return split_windows(tokens, self.window)
        window = min(self.window, LONG_WINDOW)
        return evenly(split_windows(tokens, window), max(1, self.most_tokens // window))

    def _check(self, configurations: Sequence[FeatureConfiguration]) -> None:
        location = self.model.location
        if not configurations:
            raise InputError("no feature configuration is asked for; give at least one")
        for feature in configurations:
            if (feature.model, feature.revision) != (location.name, location.revision):
                raise ModelError(
                    f"{feature.key} needs {feature.model}@{feature.revision}; "
                    f"{location.name}@{location.revision} is loaded"
                )
            if feature.layer > len(self.model.blocks):
                blocks_loaded = (
                    "" if len(self.model.blocks) == location.layers else f", {len(self.model.blocks)} loaded"
                )
                raise ModelError(f"{feature.key}: {location.name} has {location.layers} blocks{blocks_loaded}")
            if feature.norm == "final" and self.model.final_norm is None:
                raise ModelError(f"{feature.key}: no final norm was found in {location.name}; use norm raw")

    def _pool_windows(
        self, text: str, tokens: TokenizedText, windows: Sequence[range], states: set[State]
    ) -> dict[State, Tensor]:
        """Each state pooled over all windows (those that are sums) or over the final one."""
        literals = find_literals(text, tokens.spans)
        sums = {state for state in states if state[2] in _SUMS}
        readings = [_Reading(ids=tokens.ids[w.start : w.stop], suffix=[], literals=literals.within(w)) for w in windows]
        suffix = self._suffix if any(pooling == "suffix" for _, _, pooling in states) else []
        pooled = self._run(replace(readings[-1], suffix=suffix), states)
        for reading in readings[:-1] if sums else ():
            for state, value in self._run(reading, sums).items():
                pooled[state] = pooled[state] + value
        tokens_read = sum(map(len, windows))
        parts = {"mean": tokens_read, "numbers": tokens_read / len(tokens.ids)}
        return {state: value / parts.get(state[2], 1) for state, value in pooled.items()}

    def _run(self, reading: _Reading, states: set[State]) -> dict[State, Tensor]:
        """One pass over one window, up to the deepest layer of `states`."""
        pooled: dict[State, Tensor] = {}
        deepest = max(layer for layer, _, _ in states)
        hooks = [
            self.model.blocks[layer - 1].register_forward_hook(
                self._collector(pooled, {s for s in states if s[0] == layer}, reading, layer == deepest)
            )
            for layer in {layer for layer, _, _ in states}
        ]
        inputs = torch.tensor([[*reading.ids, *reading.suffix]], device=self.model.device)
        try:
            with torch.inference_mode():
                self.model.backbone(input_ids=inputs, use_cache=False)
        except _DeepestReached:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return pooled

    def _collector(
        self, pooled: dict[State, Tensor], states: set[State], reading: _Reading, deepest: bool
    ) -> Callable[[Any, Any, Any], None]:
        def collect(_block: Any, _inputs: Any, output: Any) -> None:
            hidden_TD = (output[0] if isinstance(output, tuple) else output)[0]
            for state in states:
                pooled[state] = self._pool(hidden_TD, reading, state)
            if deepest:
                raise _DeepestReached

        return collect

    def _pool(self, hidden_TD: Tensor, reading: _Reading, state: State) -> Tensor:
        """The sum in fp32 (d,) over the rows that the pooling asks for; the suffix is no part of the source."""
        _, norm, pooling = state
        tokens = len(reading.ids)
        rows_RD = hidden_TD[
            {"mean": slice(tokens), "last": slice(tokens - 1, tokens), "suffix": slice(-1, None)}.get(
                pooling, reading.literals.tokens
            )
        ]
        if norm == "final" and self.model.final_norm is not None:
            rows_RD = self.model.final_norm(rows_RD)
        if pooling == "numbers":
            rows_RD = rows_RD.float() * torch.tensor(reading.literals.weights, device=rows_RD.device)[:, None]
        return rows_RD.sum(0, dtype=torch.float32)


def window_size(location: ModelLocation, tokenize: Tokenize, asked: int | None) -> int:
    """Tokens of source a pass reads: `asked`, or the context less the suffix, which must always fit behind it."""
    limit = location.context - len(tokenize(SUFFIX).ids)
    if limit < 1:
        raise ModelError(f"{location.name}: a context of {location.context} tokens is too short")
    if asked is not None and not 1 <= asked <= limit:
        raise InputError(f"window must be 1 to {limit} tokens for {location.name}, got {asked!r}")
    return asked or limit


def split_windows(tokens: int, window: int) -> list[range]:
    """Consecutive ranges over all `tokens`, as few as `window` allows and of sizes that differ by 1 at most."""
    count = -(-tokens // window)
    edges = [tokens * i // count for i in range(count + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def evenly(windows: Sequence[range], most: int) -> Sequence[range]:
    """At most `most` of them in order: the last, then the first, and evenly between."""
    if len(windows) <= most:
        return windows
    return [windows[-1 - (len(windows) - 1) * n // max(1, most - 1)] for n in reversed(range(most))]


def _state(configuration: FeatureConfiguration) -> State:
    return (configuration.layer, configuration.norm, configuration.pooling)


def _keep_freed_memory() -> None:
    """Let glibc keep what a block frees for the next one.

    By default every large tensor is mapped and unmapped by the kernel, which zeroes its pages again: measured 20% of
    a pass over 1,600 tokens on one core.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
