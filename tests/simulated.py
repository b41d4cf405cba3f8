"""Problems, compressors, step rules and methods for the simulator's tests, and what makes two traces the same."""

from __future__ import annotations

from typing import Any

import numpy as np

import efcheck.compressors as c
from efcheck import Trace
from efcheck.methods import EF21, EFSGD, SGD, CompressedSGD, SignSGD
from efcheck.problems import LeastSquares, LeastSquares2D, Linear1D, NonSmooth2D, SignAligned, SparseNoise

EPS = np.finfo(float).eps
RNG = np.random.default_rng(2019)
WIDE = LeastSquares(RNG.normal(size=(5, 37)), RNG.normal(size=5))
ORIENTED = np.abs(RNG.normal(size=(7, 6))) * [1, -1, 1, 1, -1, -1] + 0.1 * np.array([1, -1, 1, 1, -1, -1])


class Own:
    """What a user may bring: d and gradient(x, rng), with draws of its own and a product by BLAS."""

    d = 6

    def __init__(self) -> None:
        self.H = np.diag(np.arange(1.0, 7.0)) + 0.1

    def gradient(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x @ self.H.astype(x.dtype) - 1 + rng.standard_normal(x.shape)


PROBLEMS: dict[str, Any] = {
    "linear1d": Linear1D(),
    "nonsmooth2d": NonSmooth2D(0.5),
    "leastsquares2d": LeastSquares2D(0.5),
    "sparse": SparseNoise(6, 3.0),
    "aligned": SignAligned(ORIENTED, "logistic", b=RNG.normal(size=7)),
    "least-squares": WIDE,
    "own": Own(),
}

COMPRESSORS: dict[str, Any] = {
    "identity": c.Identity(),
    "sign": c.Sign(),
    "sign-plus": c.Sign(1),
    "scaled-sign": c.ScaledSign(),
    "scaled-sign-0": c.ScaledSign(0),
    "onebit": c.OneBit(),
    "top-2": c.TopK(2),
    "top-share": c.TopK(0.5),
    "random-2": c.RandomK(2),
    "random-unbiased": c.RandomK(3, unbiased=True),
    "lowrank": c.LowRank(1, (2, 3)),
    "qsgd": c.QSGD(4),
    "terngrad": c.TernGrad(),
    "scaled": c.Scaled(c.QSGD(1), 0.3),
    "blockwise": c.Blockwise(c.ScaledSign(), (2, 4)),
    "blockwise-random": c.Blockwise(c.RandomK(1), (3, 3)),
    "own": lambda v, rng=None: 0.5 * v,
}
EVERYTHING = ("f", "x", "e", "e_norm", "g", "g_norm", "density", "g_density", "span_distance")
RANDOM = ("random-2", "random-unbiased", "qsgd", "terngrad", "scaled", "blockwise-random")

RULES: dict[str, Any] = {
    "number": 0.05,
    "array": np.array([0.05, 0.01, 0.0, 0.1]),
    "schedule": lambda t: 0.1 / (1 + t),
    "schedule-array": lambda t: np.array([0.1, 0.05, 0.02, 0.0]) / (1 + t) ** 0.5,
    "adaptive": lambda t, x, g: 0.1 / (1 + np.linalg.norm(g, axis=1)),
}


def same(a: Trace, b: Trace, runs: int) -> None:
    """The first `runs` runs of both traces are bitwise equal, at the times that both have."""
    times, i, j = np.intersect1d(a.t, b.t, return_indices=True)
    assert len(times) >= 2
    for name in a.names:
        # at t = T of one trace, the records of g_t are NaN there alone; states are compared everywhere
        left, right = a[name][i, :runs], b[name][j, :runs]
        np.testing.assert_array_equal(left, right, err_msg=name)


METHODS = {
    "sgd": SGD(0.02),
    "momentum": SGD(0.02, beta=0.9),
    "sign": SignSGD(0.02, zero=1),
    "sign-scaled": SignSGD(0.02, beta=0.9, scaled=True),
    "ef": EFSGD(0.02, c.TopK(1)),
    "compressed": CompressedSGD(0.02, c.ScaledSign()),
    "ef21": EF21(0.02, c.TopK(1)),
    "own": EFSGD(0.02, COMPRESSORS["own"]),
    "adaptive": EFSGD(RULES["adaptive"], c.OneBit()),
}
