"""Compressors on torch tensors: those with a torch form stay where the tensor is, the others pass through NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.compressors import Identity, ScaledSign, Sign, TopK
from efcheck.compressors.sparse import kept
from efcheck.errors import argument_error

Compress = Callable[[Tensor, np.random.Generator], Tensor]


def describe(compressor: Any) -> str:
    """The compressor in words that do not change from run to run: repr of efcheck's own, else a name."""
    text = repr(compressor)
    return str(getattr(compressor, "__qualname__", type(compressor).__qualname__)) if " at 0x" in text else text


def checked(compressor: Any) -> Any:
    """`compressor`, scaled sign for None, or an ArgumentError."""
    if compressor is None:
        return ScaledSign()
    if isinstance(compressor, type) or not callable(compressor):
        raise argument_error("compressor", "be a compressor or a callable (v, rng=None) -> v", compressor)
    return compressor


def signs(p: Tensor, zero: int) -> Tensor:
    """sign(p) with sign(+-0) = zero, a new tensor of p's dtype."""
    if zero == 0:
        return torch.sign(p)
    above = p >= 0 if zero == 1 else p > 0
    return above.to(p.dtype).mul_(2).sub_(1)


def mean_size(p: Tensor) -> Tensor:
    """||p||_1 / d, 0-d; 0 for d = 0. abs().sum() adds in pairs: norm(p=1) is off by percents in float32 on a CPU."""
    return p.abs().sum() / max(p.numel(), 1)


def torch_form(compressor: Any) -> Compress:
    """C as a function (flat tensor, generator) -> new flat tensor of the same dtype and device."""
    match compressor:
        case Identity():
            return lambda v, rng: v.clone()
        case ScaledSign():
            return lambda v, rng: mean_size(v) * signs(v, compressor.zero)
        case Sign():
            return lambda v, rng: signs(v, compressor.zero) * (v != 0).any()
        case TopK():
            return lambda v, rng: _largest(v, kept(compressor.k, v.numel()))
    return _foreign(compressor)


def _largest(v: Tensor, k: int) -> Tensor:
    """The k largest entries in magnitude, ties by the lower index: a stable sort keeps that order, torch.topk does not."""
    index = torch.sort(v.abs(), descending=True, stable=True).indices[:k]
    return torch.zeros_like(v).index_copy_(0, index, v[index])


def _foreign(compressor: Any) -> Compress:
    """A callable written for NumPy or for torch: NumPy is tried first, and what works is kept."""
    extra = _takes_rng(compressor)
    speaks = "numpy" if hasattr(compressor, "compress_into") or hasattr(compressor, "encode") else ""

    def compress(v: Tensor, rng: np.random.Generator) -> Tensor:
        nonlocal speaks
        words = {"rng": rng} if extra else {}
        if speaks != "torch":
            try:
                out = compressor(v.detach().cpu().numpy().copy(), **words)  # it may work in place
                speaks = "numpy"
                return _result(torch.from_numpy(np.array(out, copy=True)), v)
            except (AttributeError, TypeError, RuntimeError):
                if speaks == "numpy":
                    raise
        out = compressor(v.clone(), **words)
        speaks = "torch"
        return _result(out, v)

    return compress


def _result(out: Any, v: Tensor) -> Tensor:
    if not isinstance(out, Tensor) or out.shape != v.shape:
        got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise argument_error("compressor", f"return a vector of shape {tuple(v.shape)}", got)
    return out.to(device=v.device, dtype=v.dtype)


def _takes_rng(compressor: Any) -> bool:
    try:
        parameters = inspect.signature(compressor).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == "rng" or p.kind is p.VAR_KEYWORD for p in parameters)
