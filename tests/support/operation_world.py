"""Operations in one line, and dry runs made of them."""

import json

from kilowait.predict.dryrun.record import Completeness, DryRun, Kind, Operation


def product(side: int) -> Operation:
    """A product of two square matrices on a GPU, forward."""
    return Operation(
        op="aten.mm",
        kind=Kind.GEMM,
        dtype="float32",
        device="cuda",
        count=1.0,
        flops=2.0 * side**3,
        bytes_read=8.0 * side**2,
        bytes_written=4.0 * side**2,
        kernels=1,
        shapes=json.dumps([[side, side], [side, side]]),
        attributes='["T", "T"]',
    )


def copy(numbers: int, count: float = 1.0, device: str = "cuda") -> Operation:
    """`count` copies of so many float32."""
    return Operation(
        op="aten.clone",
        kind=Kind.COPY,
        dtype="float32",
        device=device,
        count=count,
        flops=float(numbers),
        bytes_read=4.0 * numbers,
        bytes_written=4.0 * numbers,
        kernels=1,
        shapes=json.dumps([[numbers]]),
        attributes='["T"]',
    )


def whole_run(name: str, *operations: Operation) -> DryRun:
    """A whole dry run on a GPU."""
    return DryRun(content_hash=name, target="cuda", completeness=Completeness.WHOLE, operations=operations)


def operation(kind, flops, volume, count=1.0, shapes=((4, 5), (3,))):
    """An operation of a kind that computes `flops` and moves `volume` bytes, a quarter of them written."""
    return Operation(
        op=f"aten.{kind}",
        kind=kind,
        dtype="float32",
        device="cuda",
        count=count,
        flops=flops,
        bytes_read=volume * 0.75,
        bytes_written=volume * 0.25,
        kernels=1,
        shapes=json.dumps(shapes),
    )


def dry_run_of(name, operations, completeness=Completeness.WHOLE):
    """A dry run of these operations on a GPU, whole unless said otherwise."""
    return DryRun(content_hash=name, target="cuda", completeness=completeness, operations=tuple(operations))


def copy_run(name: str, numbers: int, target: str = "cuda") -> DryRun:
    """A whole dry run of one copy."""
    operations = (copy(numbers, device=target),)
    return DryRun(content_hash=name, target=target, completeness=Completeness.WHOLE, operations=operations)
