"""torch compressors: correct ones, and some with one bug each. PLANTED as in compressors.py."""

from __future__ import annotations

import torch


def sign(v):
    return torch.where(v >= 0, 1.0, -1.0).to(v.dtype)


def scaled_sign(v):
    return v.abs().mean(-1, keepdim=True) * sign(v)


def top_third(v):
    k = max(1, -(-v.shape[-1] // 3))
    keep = v.abs().topk(k, dim=-1).indices
    return torch.zeros_like(v).scatter(-1, keep, v.gather(-1, keep))


def third(d):
    return max(1, -(-d // 3)) / d


def random_half(v, generator):
    return 2 * v * (torch.rand(v.shape, generator=generator) < 0.5)


def mask_from_numpy(v, rng=None):
    return v * torch.from_numpy(rng.random(tuple(v.shape)) < 0.5)


class Module(torch.nn.Module):
    """A compressor that happens to be a module."""

    def forward(self, v):
        size = v.abs().amax(-1, keepdim=True)
        return torch.where(v.abs() < 0.5 * size, torch.zeros_like(v), v)

    def __repr__(self):
        return "Module()"


class Learnt(torch.nn.Module):
    """A parameter: the output asks for a gradient."""

    def __init__(self, claimed):
        super().__init__()
        self.claimed = claimed
        self.share = torch.nn.Parameter(torch.tensor(0.75, dtype=torch.float64))

    def delta(self, d):
        return self.claimed

    def forward(self, v):
        return self.share.to(v.dtype) * v


too_much = Learnt(0.95)


def in_place(v):
    return v.mul_(v.abs() > v.abs().mean(-1, keepdim=True)).clone()


def a_view(v):
    return v.view(v.shape)


def global_seed(v):
    return 2 * v * (torch.rand(v.shape) < 0.5)


def squares_in_half(v):
    size = (v * v).sum(-1, keepdim=True).sqrt()
    return torch.where(size > 0, size / v.shape[-1] ** 0.5 * sign(v), torch.zeros_like(v))


def one_norm_for_all(v):
    return v.abs().mean() * sign(v)


def back_to_float32(v):
    return scaled_sign(v.float())


def no_nan(v):
    return scaled_sign(torch.nan_to_num(v, nan=0.0, posinf=0.0, neginf=0.0))


CORRECT = {
    "scaled sign": (scaled_sign, {"delta": lambda d: 1 / d}),
    "top-k": (top_third, {"delta": third}),
    "random mask": (random_half, {"unbiased": True}),
    "mask from a NumPy generator": (mask_from_numpy, {"delta": 0.5}),
    "module": (Module(), {}),
    "module with a parameter": (Learnt(0.9375), {}),
}
PLANTED = {
    "delta of a module with a parameter": (too_much, {}, "contraction"),
    "in place": (in_place, {}, "input_kept"),
    "a view": (a_view, {}, "no_alias"),
    "global seed": (global_seed, {}, "randomness"),
    "squares in half": (squares_in_half, {}, "half"),
    "one norm for all": (one_norm_for_all, {}, "batch"),
    "back to float32": (back_to_float32, {}, "dtype"),
    "no NaN": (no_nan, {}, "nonfinite"),
}
