"""Methods: three steps by hand, sign conventions, step sizes and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from efcheck import simulate
from efcheck.compressors import ScaledSign, TopK
from efcheck.errors import ArgumentError
from efcheck.methods import EF21, EFSGD, SGD, BestStep, CompressedSGD, SignSGD, checked_steps, is_adaptive, signed
from efcheck.problems import SparseNoise


class Bowl:
    """f = x_1^2 / 2 + x_2^2, g = (x_1, 2 x_2): every number below is exact in binary."""

    d = 2

    def gradient(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x * np.array([1, 2], x.dtype)


class Walled(Bowl):
    """The same, on x_1 >= 2.5."""

    def project(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, np.array([2.5, -np.inf], x.dtype))


A, B = (4.0, -2.0), (1.0, -2.0)
NONE = [(0.0, 0.0)] * 4

# name -> problem, method, x_0 ... x_3, e_0 ... e_3
HAND: dict[str, tuple[Any, Any, list[Any], list[Any]]] = {
    # g = (4,-4), (3,-2), (2.25,-1)
    "sgd": (Bowl(), SGD(0.25), [A, (3, -1), (2.25, -0.5), (1.6875, -0.25)], NONE),
    # m = (4,-4), (3,-2) + (2,-2), (1.75,0) + (2.5,-2)
    "sgd-momentum": (Bowl(), SGD(0.25, beta=0.5), [A, (3, -1), (1.75, 0), (0.6875, 0.5)], NONE),
    # g = (1,-4), (0,-2), (0,0)
    "sign-zero-0": (Bowl(), SignSGD(1.0, zero=0), [B, (0, -1), (0, 0), (0, 0)], NONE),
    # g = (1,-4), (0,-2), (-1,0): signs (1,-1), (1,-1), (-1,1)
    "sign-zero-plus": (Bowl(), SignSGD(1.0, zero=1), [B, (0, -1), (-1, 0), (0, -1)], NONE),
    # g = (1,-4), (0,-2), (1,0): signs (1,-1), (-1,-1), (1,-1)
    "sign-zero-minus": (Bowl(), SignSGD(1.0, zero=-1), [B, (0, -1), (1, 0), (0, 1)], NONE),
    # ||g||_1/d = 4, 2.5, 1.5625
    "sign-scaled": (
        Bowl(), SignSGD(0.25, scaled=True), [A, (3, -1), (2.375, -0.375), (1.984375, 0.015625)], NONE,
    ),
    # m = (4,-4), (5,-4), (2,0) + (2.5,-2)
    "sign-momentum": (Bowl(), SignSGD(1.0, beta=0.5), [A, (3, -1), (2, 0), (1, 1)], NONE),
    # m = (4,-4), (5,-4), (4.375,-1.75): scales 4, 4.5, 3.0625
    "sign-scaled-momentum": (
        Bowl(), SignSGD(0.25, beta=0.5, scaled=True), [A, (3, -1), (1.875, 0.125), (1.109375, 0.890625)], NONE,
    ),
    # p = (2,-2), (1,0), (1.25,-1): scales 2, 0.5, 1.125
    "ef-scaled-sign": (
        Bowl(), EFSGD(0.5, ScaledSign()),
        [A, (2, 0), (1.5, -0.5), (0.375, 0.625)], [(0, 0), (0, 0), (0.5, -0.5), (0.125, 0.125)],
    ),
    # p = (2,-2), (1,-4), (2,2): kept 0, 1, 0
    "ef-top-1": (Bowl(), EFSGD(0.5, TopK(1)), [A, (2, -2), (2, 2), (0, 2)], [(0, 0), (0, -2), (1, 0), (0, 2)]),
    # g = (4,-4), (2,-4), (2,0)
    "compressed": (Bowl(), CompressedSGD(0.5, TopK(1)), [A, (2, -2), (2, 0), (1, 0)], NONE),
    # g - h = (4,-4), (-1,-4), (-2,2); h = (4,0), (4,-4), (2,-4)
    "ef21": (Bowl(), EF21(0.25, TopK(1)), [A, (3, -2), (2, -1), (1.5, 0)], NONE),
    # (2.25,-0.5) and (1.875,-0.25) before the projection
    "sgd-projected": (Walled(), SGD(0.25), [A, (3, -1), (2.5, -0.5), (2.5, -0.25)], NONE),
    # the memory is p - Delta, whatever the projection did: p = (2,-2), (1.25,-4), (2.5,2)
    "ef-projected": (
        Walled(), EFSGD(0.5, TopK(1)), [A, (2.5, -2), (2.5, 2), (2.5, 2)], [(0, 0), (0, -2), (1.25, 0), (0, 2)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", HAND)
def test_three_steps_equal_the_computation_by_hand(name: str, dtype: str) -> None:
    problem, method, x, e = HAND[name]
    trace = simulate(problem, method, 3, runs=3, x0=np.array(x[0]), record=("x", "e", "e_norm"), dtype=dtype)
    for run in range(3):
        np.testing.assert_array_equal(trace["x"][:, run], np.array(x))
        np.testing.assert_array_equal(trace["e"][:, run], np.array(e))
        # a scaled root of a sum of two squares: a few roundings
        np.testing.assert_allclose(trace["e_norm"][:, run], [math.hypot(*v) for v in e], rtol=4 * np.finfo(dtype).eps)


def test_the_memory_has_the_unit_of_x_when_gamma_changes() -> None:
    # gamma = 0.5 then 0.25: p_0 = (2,-2), e_1 = (0,-2); g_1 = (2,-4), p_1 = (0.5,-1) + (0,-2) = (0.5,-3)
    trace = simulate(Bowl(), EFSGD(lambda t: 0.5 / (t + 1), TopK(1)), 2, x0=A, record=("x", "e"))
    np.testing.assert_array_equal(trace["x"][:, 0], [A, (2, -2), (2, 1)])
    np.testing.assert_array_equal(trace["e"][:, 0], [(0, 0), (0, -2), (0.5, 0)])


@pytest.mark.parametrize("zero", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_signed_treats_both_zeros_alike_and_leaves_its_input(zero: int, dtype: Any) -> None:
    p = np.array([[3.0, -0.5, 0.0, -0.0, 1e-40]], dtype)
    before, out = p.copy(), np.empty_like(p)
    signed(p, dtype(2), zero, out)
    np.testing.assert_array_equal(out, [[2, -2, 2 * zero, 2 * zero, 2]])
    np.testing.assert_array_equal(p.view(np.uint8), before.view(np.uint8))


@pytest.mark.parametrize(
    ("rule", "adaptive"),
    [
        (lambda t: 1.0, False),
        (lambda t, x, g: 1.0, True),
        (lambda t, c=2.0: c, False),
        (lambda t, x, g, c=2.0: c, True),
        (math.sqrt, False),
    ],
    ids=["schedule", "adaptive", "schedule-default", "adaptive-default", "builtin"],
)
def test_is_adaptive_counts_the_required_arguments(rule: Any, adaptive: bool) -> None:
    assert is_adaptive(rule) is adaptive


def test_checked_steps_keep_the_shape() -> None:
    assert checked_steps(1).shape == ()
    assert checked_steps([1, 2.5]).tolist() == [1.0, 2.5]


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "gamma-negative": (lambda: SGD(-0.1), r"`gamma` must be finite and >= 0; got -0\.1"),
    "gamma-nan": (lambda: SGD(math.nan), r"`gamma` must be finite and >= 0; got nan"),
    "gamma-inf": (lambda: EFSGD(math.inf, TopK(1)), r"`gamma` must be finite and >= 0; got inf"),
    "gamma-bool": (lambda: SGD(True), r"`gamma` must be finite and >= 0; got True"),
    "gamma-text": (lambda: SGD("fast"), r"`gamma` must be finite and >= 0; got"),
    "gamma-none": (lambda: SignSGD(None), r"`gamma` must be finite and >= 0; got None"),
    "gamma-matrix": (
        lambda: SGD(np.ones((2, 2))),
        r"`gamma` must be a number or an array \(runs,\); got shape",
    ),
    "gamma-entry": (lambda: EF21([0.1, -2.0], TopK(1)), r"`gamma` must be finite and >= 0; got -2\.0 at index 1"),
    "gamma-entry-nan": (lambda: SGD([0.1, math.nan]), r"`gamma` must be finite and >= 0; got nan at index 1"),
    "beta-one": (lambda: SGD(0.1, beta=1.0), r"`beta` must be in \[0, 1\); got 1\.0"),
    "beta-negative": (lambda: SignSGD(0.1, beta=-0.5), r"`beta` must be in \[0, 1\); got -0\.5"),
    "beta-nan": (lambda: SGD(0.1, beta=math.nan), r"`beta` must be a finite number; got nan"),
    "zero-two": (lambda: SignSGD(0.1, zero=2), r"`zero` must be -1, 0 or 1; got 2\. It is the value of sign\(0\)"),
    "compressor-class": (lambda: EFSGD(0.1, TopK), r"`compressor` must be a callable \(v, rng=None\) -> v; got"),
    "compressor-none": (lambda: CompressedSGD(0.1, None), r"`compressor` must be a callable .* got None"),
    "compressor-class-ef21": (lambda: EF21(0.1, ScaledSign), r"`compressor` must be a callable"),
    "best-step-with-memory": (
        lambda: EFSGD(BestStep(SparseNoise(2)), TopK(1)),
        r"`gamma` must be a number, array or rule for EFSGD; got BestStep\. Its memory depends on gamma",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_method_names_the_bad_argument_on_one_line(name: str) -> None:
    make, wording = BAD[name]
    with pytest.raises(ArgumentError, match="^" + wording) as caught:
        make()
    assert "\n" not in str(caught.value)
