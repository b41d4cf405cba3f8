"""The simulator: the same numbers, however they are computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from simulated import COMPRESSORS, EPS, EVERYTHING, METHODS, PROBLEMS, RANDOM, RULES, WIDE, Own, same

import efcheck.compressors as c
from efcheck import Trace, simulate
from efcheck.methods import EFSGD, SGD, CompressedSGD
from efcheck.problems import Linear1D, SparseNoise


@pytest.mark.parametrize("method", ["ef-sign", "ef-random"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_run_does_not_depend_on_runs_every_block_or_threads(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    C = c.ScaledSign() if method == "ef-sign" else c.QSGD(2)
    record = EVERYTHING if hasattr(problem, "f") else EVERYTHING[1:]
    go: Callable[..., Trace] = lambda **kw: simulate(problem, EFSGD(0.01, C), 70, seed=5, record=record, **kw)  # noqa: E731
    one = go()
    same(one, go(), 1)
    seventeen = go(runs=17)
    same(one, seventeen, 1)
    same(seventeen, go(runs=17, every=7), 17)
    same(seventeen, go(runs=17, block=1), 17)
    same(seventeen, go(runs=17, block=16, threads=2), 17)
    same(seventeen, go(runs=40, block=20, threads=3), 17)
    other = simulate(problem, EFSGD(0.01, C), 70, seed=6, record=record)
    stochastic = name not in ("nonsmooth2d", "least-squares") or method == "ef-random"
    if stochastic and name != "linear1d":
        assert not np.array_equal(one["x"], other["x"])


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_first_run_is_the_same_alone_and_among_five_hundred(name: str) -> None:
    for dtype in ("float64", "float32"):
        method = EFSGD(0.01, c.ScaledSign())
        one = simulate(PROBLEMS[name], method, 70, seed=3, record="x", dtype=dtype)
        many = simulate(PROBLEMS[name], method, 70, runs=500, seed=3, record="x", every=10, dtype=dtype)
        same(one, many, 1)
        spread = np.unique(many["x"][-1], axis=0)
        assert len(spread) > 1 or name in ("nonsmooth2d", "least-squares")  # runs do not share their noise


@pytest.mark.parametrize("name", RANDOM)
def test_random_compressors_do_not_depend_on_runs_block_or_threads(name: str) -> None:
    for method in (EFSGD(0.02, COMPRESSORS[name]), CompressedSGD(0.02, COMPRESSORS[name])):
        one = simulate(WIDE if name == "qsgd" else SparseNoise(6, 1.0), method, 30, record=("x", "e"))
        problem = WIDE if name == "qsgd" else SparseNoise(6, 1.0)
        same(one, simulate(problem, method, 30, runs=50, block=16, threads=2, record=("x", "e"), every=5), 1)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_depends_on_runs_block_or_threads(name: str) -> None:
    def draw(rng: np.random.Generator, runs: int) -> np.ndarray:
        return rng.normal(size=(runs, 6))

    go: Callable[..., Trace] = lambda **kw: simulate(  # noqa: E731
        SparseNoise(6, 3.0), METHODS[name], 70, x0=draw, record=("f", "x", "e", "g"), **kw
    )
    one, many = go(), go(runs=100, block=32, threads=2, every=14)
    same(one, many, 1)
    same(go(runs=33), many, 33)
    assert len(np.unique(many["x"][0], axis=0)) == 100  # every run has its own start


class RowCounter:
    """A planted error: a gradient that depends on the number of rows, and claims that it does not."""

    d, rowwise = 2, True

    def sample(self, rng: Any, steps: int, runs: int) -> None:
        return None

    def gradient_given(self, x: np.ndarray, noise: Any, out: np.ndarray) -> np.ndarray:
        out[...] = x * (1 + EPS * len(x))
        return out


def test_the_comparison_sees_a_gradient_that_depends_on_the_number_of_rows() -> None:
    one = simulate(RowCounter(), SGD(0.1), 20, x0=np.array([1.0, 0.3]), record="x")
    many = simulate(RowCounter(), SGD(0.1), 20, runs=500, x0=np.array([1.0, 0.3]), record="x")
    with pytest.raises(AssertionError):
        same(one, many, 1)


def test_gradient_noise_is_the_same_for_every_method() -> None:
    for problem in (SparseNoise(6, 3.0), Own()):
        reference = simulate(problem, SGD(0.1), 1, runs=20, record="g")["g"][0]
        for name, method in METHODS.items():
            if name == "adaptive":
                method = EFSGD(RULES["schedule"], c.QSGD(1))
            g = simulate(problem, method, 1, runs=20, record="g")["g"][0]
            np.testing.assert_array_equal(g, reference, err_msg=name)
        x0 = lambda rng, runs: np.ones((runs, 6))  # noqa: E731
        if isinstance(problem, SparseNoise):  # drawing the start takes nothing from the noise
            np.testing.assert_array_equal(simulate(problem, SGD(0.1), 1, 20, x0=x0, record="g")["g"][0], reference)
    # noise that does not depend on x is the same at every step
    for method in METHODS.values():
        g = simulate(Linear1D(), method if name != "adaptive" else SGD(0.1), 90, runs=3, record="g")["g"]
        np.testing.assert_array_equal(g, simulate(Linear1D(), SGD(0.1), 90, runs=3, record="g")["g"])


def test_sgd_and_ef_signsgd_coincide_bitwise_in_one_dimension() -> None:
    for gamma in (0.05, lambda t: 0.3 / math.sqrt(t + 1)):
        sgd = simulate(Linear1D(), SGD(gamma), 300, runs=40, record=("f", "x"))
        ef = simulate(Linear1D(), EFSGD(gamma, c.ScaledSign()), 300, runs=40, record=("f", "x", "e"))
        np.testing.assert_array_equal(sgd["x"], ef["x"])
        np.testing.assert_array_equal(sgd["f"], ef["f"])
        assert not ef["e"].any()
        assert np.abs(sgd["x"]).max() <= 1
