r"""What a step is about to lose: density of gradient and corrected step, realised delta, size of the memory.

    phi(v) = ||v||_1^2 / (d ||v||_2^2)                  of g (as backward left it) and of p = e + gamma m
    delta  = 1 - ||Delta - p||_2^2 / ||p||_2^2          Delta = what the step will send; phi(p) for scaled sign, by tensor
    e_norm = ||e||_2                                    before the step, unit of x
    g_norm = ||g||_2                                    unit of f / x

Without feedback p = gamma m. phi and delta have no unit; phi(0) = 0 and delta = 1 for p = 0. "layers" has them for each
tensor; the top level for all tensors as one vector: its delta is 1 - sum ||Delta_i - p_i||^2 / sum ||p_i||^2.
Source: Section 4.1, Lemma 8, Figure 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from efcheck.train.optimizer import EFSGD

NAMES = ("density_g", "density_p", "delta", "e_norm", "g_norm")


@torch.no_grad()
def measure(optimizer: EFSGD) -> dict[str, Any]:
    """phi(g), phi(p), delta, ||e||_2 and ||g||_2, of the model and by layer; after backward() and before step().

    Changes nothing: the step that follows sends what is measured here, random compressors included. Sums are taken in
    float64 from float32 sums of each tensor; a parameter without a gradient counts in the whole e_norm only. Layers are
    named by the parameter's name in a group of named parameters, else by its place among all parameters.
    """
    keys: list[str | int] = []
    rows: list[Tensor] = []
    for unit, ps, deltas in optimizer.messages():
        for slot, p, delta in zip(unit, ps, deltas, strict=True):
            keys.append(slot.name or slot.index)
            rows.append(_sums(slot.g, p, delta, slot.e))
    e_norm = optimizer.error_norm()
    table: list[list[float]] = torch.stack(rows).tolist() if rows else []  # one wait for the device
    whole = [sum(column) for column in zip(*table, strict=True)] or [0.0] * 7
    layers = {key: _ratios(row) for key, row in zip(keys, table, strict=True)}
    return {**_ratios(whole), "e_norm": e_norm, "layers": layers}


def _sums(g: Tensor, p: Tensor, delta: Tensor, e: Tensor | None) -> Tensor:
    """d; ||.||_1 and ||.||_2^2 of g and of p; ||Delta - p||_2^2; ||e||_2^2; in float64."""
    wide = torch.float64
    squares = [v.to(wide).square().sum() for v in (g, p, delta - p)]
    sizes = [v.abs().sum(dtype=wide) for v in (g, p)]
    error = torch.zeros_like(squares[0]) if e is None else e.to(wide).square().sum()
    d = torch.full_like(squares[0], p.numel())
    return torch.stack([d, sizes[0], squares[0], sizes[1], squares[1], squares[2], error])


def _ratios(sums: list[float]) -> dict[str, float]:
    d, g1, g2, p1, p2, lost, error = sums
    return {
        "density_g": g1**2 / (d * g2) if g2 else 0.0,
        "density_p": p1**2 / (d * p2) if p2 else 0.0,
        "delta": 1 - lost / p2 if p2 else 1.0,
        "e_norm": error**0.5,
        "g_norm": g2**0.5,
    }
