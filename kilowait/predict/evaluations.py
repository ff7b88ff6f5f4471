"""What a dry run knows of a program's time beside its training steps: passes forward that no backward one follows."""

from collections.abc import Iterable

from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun, Operation

_PAIRS = (
    ("nll_loss_forward", "nll_loss_backward"),
    ("nll_loss2d_forward", "nll_loss2d_backward"),
    ("mse_loss", "mse_loss_backward"),
    ("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits_backward"),
    ("_log_softmax", "_log_softmax_backward_data"),
    ("convolution", "convolution_backward"),
    ("native_layer_norm", "native_layer_norm_backward"),
    ("native_batch_norm", "native_batch_norm_backward"),
)
"""Operators and what autograd calls for each of them: losses first, since a checkpoint in the graph repeats no loss."""
_CALL_S = 5e-6
COUNTED = (Completeness.WHOLE, Completeness.GUESSED)
"""Dry runs whose number of steps is that of the program."""


def evaluation_share(run: DryRun, on: Specification) -> float:
    """The share of a program's time on a device type that evaluations take, 0 where there are none or it is not known.

    Of the passes forward those are evaluations that have no backward pass; their share is that of the time of all
    passes forward, by a plain roofline. Operators that change their input in place count as the optimizer's.
    """
    if run.completeness not in COUNTED or not run.steps:
        return 0.0
    counts = dict[str, float]()
    for operation in run.operations:
        name = _name(operation)
        counts[name] = counts.get(name, 0.0) + operation.count
    pairs = [(counts[there], counts[back]) for there, back in _PAIRS if there in counts and counts.get(back)]
    if not pairs or pairs[0][0] <= pairs[0][1]:
        return 0.0
    forward, backward = pairs[0]
    ahead = [one for one in run.operations if not one.backward and not _is_in_place(one)]
    all_s = _seconds(run.operations, on)
    return _seconds(ahead, on) * (forward - backward) / forward / all_s if all_s > 0 else 0.0


def _seconds(operations: Iterable[Operation], on: Specification) -> float:
    return sum(
        one.count * (_CALL_S + max(one.flops / on.fp32_flops, (one.bytes_read + one.bytes_written) / on.bandwidth))
        for one in operations
    )


def _name(operation: Operation) -> str:
    return operation.op.removeprefix("aten.").partition(".")[0]


def _is_in_place(operation: Operation) -> bool:
    name = _name(operation)
    return (name.endswith("_") and not name.endswith("__")) or name.startswith(("_foreach", "_fused"))
