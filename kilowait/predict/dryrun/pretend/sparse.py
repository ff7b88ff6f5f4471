"""Sparse tensors that move between devices and become coalesced, which fake ones do not by themselves.

Fake ones whose values are not known can do nothing: up to a size they are dense ones instead. Products with them are
counted so, which is more than they take; that is said. Larger ones stop the program, as nothing right can be said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

_COMPRESSED: dict[torch.layout, tuple[Any, str, str]] = {
    torch.sparse_csr: (torch.sparse_csr_tensor, "crow_indices", "col_indices"),
    torch.sparse_csc: (torch.sparse_csc_tensor, "ccol_indices", "row_indices"),
}

MOST_KNOWN, MOST_DENSE = 1 << 12, 1 << 24
"""Entries, zeros among them, of tensors whose values may be known, and of those that are dense ones instead."""
_SAID = "products with sparse tensors are counted as with dense ones, which is more than they take"
_MAKERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (Tensor, ("to_sparse", "to_sparse_coo", "to_sparse_csr")),
    (torch, ("sparse_coo_tensor", "sparse_csr_tensor")),
)


def is_sparse(tensor: Tensor) -> bool:
    """Whether it is in one of the layouts that `moved` takes."""
    return tensor.layout is torch.sparse_coo or tensor.layout in _COMPRESSED


def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`tensor.to(...)` of a sparse tensor, by its parts."""
    device, dtype, _, _ = torch._C._nn._parse_to(*args, **kwargs)
    device = tensor.device if device is None else device
    if tensor.layout is torch.sparse_coo:
        indices, values = tensor._indices().to(device), tensor._values().to(device, dtype or tensor.dtype)
        return torch.sparse_coo_tensor(indices, values, tensor.shape, device=device)
    make, outer, inner = _COMPRESSED[tensor.layout]
    parts = [getattr(tensor, name)().to(device) for name in (outer, inner)]
    made: Tensor = make(*parts, tensor.values().to(device, dtype or tensor.dtype), size=tensor.shape, device=device)
    return made


def pretend_sparse(assume: Callable[[str, str], None]) -> None:
    """A sparse tensor is coalesced as it is: which of its entries are the same place is not known."""
    _coalesced()
    Tensor.to_sparse = _made_sparse(Tensor.to_sparse)  # type: ignore[method-assign]
    torch.sparse_coo_tensor = _made_of_entries(torch.sparse_coo_tensor)
    torch.sparse.mm = _product(torch.sparse.mm)
    for owner, names in _MAKERS:
        for name in names:
            setattr(owner, name, _saying(getattr(owner, name), assume))


def _made_sparse(real: Any) -> Any:
    @wraps(real)
    def to_sparse(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(self, *args, **kwargs)
        except NotImplementedError:  # its values are not known
            if self.numel() > MOST_DENSE:
                raise
            return self

    return to_sparse


def _made_of_entries(real: Any) -> Any:
    @wraps(real)
    def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, **kwargs: Any) -> Any:
        entries = math.prod(size) if size is not None else 0
        if not MOST_KNOWN < entries <= MOST_DENSE:
            return real(indices, values, size, **kwargs)
        values = torch.as_tensor(values, dtype=kwargs.get("dtype"), device=kwargs.get("device"))
        return values.new_zeros(tuple(size))

    return sparse_coo_tensor


def _product(real: Any) -> Any:
    @wraps(real)
    def mm(first: Tensor, second: Tensor, *args: Any) -> Tensor:
        dense = first.layout is torch.strided and second.layout is torch.strided
        return torch.mm(first, second) if dense else real(first, second, *args)

    return mm


def _saying(real: Any, assume: Callable[[str, str], None]) -> Any:
    @wraps(real)
    def made(*args: Any, **kwargs: Any) -> Any:
        assume(_SAID, "modelled")
        return real(*args, **kwargs)

    return made


def _coalesced() -> None:
    real, real_asked, indices, values = Tensor.coalesce, Tensor.is_coalesced, Tensor.indices, Tensor.values

    def coalesce(self: Tensor) -> Tensor:
        return self if _is_fake(self) else real(self)

    def is_coalesced(self: Tensor) -> bool:
        return _is_fake(self) or real_asked(self)

    def of(real_part: Any, part: str) -> Any:
        def asked(self: Tensor) -> Any:
            known = _is_fake(self) and self.layout is torch.sparse_coo
            return getattr(self, part)() if known else real_part(self)

        return asked

    Tensor.indices, Tensor.values = of(indices, "_indices"), of(values, "_values")  # type: ignore[method-assign]
    Tensor.coalesce, Tensor.is_coalesced = coalesce, is_coalesced  # type: ignore[method-assign, assignment]


def _is_fake(tensor: Tensor) -> bool:
    return hasattr(tensor, "fake_device")
