"""What the simulator and the methods refuse, each in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import efcheck.compressors as c
from efcheck import simulate
from efcheck.errors import ArgumentError
from efcheck.methods import EFSGD, SGD, BestStep
from efcheck.problems import SparseNoise

P = SparseNoise(3, 1.0)
S = SGD(0.1)


class Bare:
    d = 3

    def gradient(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "T-negative": (lambda: simulate(P, S, -1), r"`T` must be an integer >= 0; got -1"),
    "T-float": (lambda: simulate(P, S, 1.5), r"`T` must be an integer >= 0; got 1\.5"),  # type: ignore[arg-type]
    "runs-zero": (lambda: simulate(P, S, 1, runs=0), r"`runs` must be an integer >= 1; got 0"),
    "seed-negative": (lambda: simulate(P, S, 1, seed=-1), r"`seed` must be an integer >= 0; got -1"),
    "seed-none": (lambda: simulate(P, S, 1, seed=None), r"`seed` must be an integer >= 0; got None"),  # type: ignore[arg-type]
    "every-zero": (lambda: simulate(P, S, 1, every=0), r"`every` must be an integer >= 1; got 0"),
    "threads-zero": (lambda: simulate(P, S, 1, threads=0), r"`threads` must be an integer >= 1; got 0"),
    "block-zero": (lambda: simulate(P, S, 1, block=0), r"`block` must be an integer >= 1; got 0"),
    "x0-shape": (
        lambda: simulate(P, S, 1, runs=2, x0=np.ones(2)),
        r"`x0` must have shape \(3,\) or \(2, 3\); got shape \(2,\)",
    ),
    "x0-nan": (lambda: simulate(P, S, 1, x0=[0.0, math.nan, 0.0]), r"`x0` must be finite; got nan at index 1"),
    "x0-nan-of-a-run": (
        lambda: simulate(P, S, 1, runs=2, x0=[[0.0, 0.0, 0.0], [0.0, 0.0, math.inf]]),
        r"`x0` must be finite; got inf at index \(1, 2\)",
    ),
    "x0-float32-overflow": (
        lambda: simulate(P, S, 1, x0=[0.0, 1e200, 0.0], dtype="float32"),
        r"`x0` must be finite",
    ),
    "x0-text": (lambda: simulate(P, S, 1, x0="ones"), r"`x0` must be an array of real numbers"),
    "x0-callable-shape": (
        lambda: simulate(P, S, 1, x0=lambda rng, runs: np.ones(3)),
        r"`x0\(rng, runs\)` must have shape \(runs, 3\); got shape \(3,\)",
    ),
    "x0-callable-nan": (
        lambda: simulate(P, S, 1, x0=lambda rng, runs: np.full((runs, 3), math.nan)),
        r"`x0\(rng, runs\)` must be finite; got nan at index \(0, 0\)",
    ),
    "gamma-shape": (
        lambda: simulate(P, SGD(np.ones(2)), 1, runs=3),
        r"`gamma` must have shape \(3,\), one step size for each run; got shape \(2,\)",
    ),
    "schedule-negative": (
        lambda: simulate(P, SGD(lambda t: 1.0 - t), 5),
        r"`gamma\(2\)` must be finite and >= 0; got -1\.0",
    ),
    "schedule-shape": (lambda: simulate(P, SGD(lambda t: np.ones(2)), 5, runs=3), r"`gamma.*` must have shape \(3,\)"),
    "adaptive-nan": (
        lambda: simulate(P, SGD(lambda t, x, g: math.nan), 5),
        r"`gamma\(0, x, g\)` must be finite and >= 0; got",
    ),
    "adaptive-shape": (
        lambda: simulate(P, SGD(lambda t, x, g: g), 5, runs=2),
        r"`gamma\(0, x, g\)` must be a number or have shape \(2,\); got shape \(2, 3\)",
    ),
    "record-unknown": (
        lambda: simulate(P, S, 1, record=("f", "loss")),
        r"`record` must name some of f, e_norm, .*; got loss",
    ),
    "record-f-without-f": (
        lambda: simulate(Bare(), S, 1),
        r"`problem` must have f\(x\) when 'f' is recorded; got Bare",
    ),
    "problem-without-d": (lambda: simulate(object(), S, 1), r"`problem\.d` must be an integer >= 1; got None"),
    "top-k-beyond-d": (
        lambda: simulate(P, EFSGD(0.1, c.TopK(4)), 1),
        r"`k` must be in \[1, 3\]; got 4|`k` must .* got 4",
    ),
    "dtype-int": (lambda: simulate(P, S, 1, dtype=int), r"`dtype` must be 'float64' or 'float32'; got"),
    "dtype-half": (lambda: simulate(P, S, 1, dtype="float16"), r"`dtype` must be 'float64' or 'float32'; got float16"),
    "dtype-unknown": (lambda: simulate(P, S, 1, dtype="real"), r"`dtype` must be 'float64' or 'float32'; got real"),
    "engine": (lambda: simulate(P, S, 1, engine="torch"), r"`engine` must be .*'numpy'.*; got torch"),
    "device": (lambda: simulate(P, S, 1, device="tpu"), r"`device` must be .*'cpu'.*; got tpu"),
    "method-class": (lambda: simulate(P, SGD, 1), r"`method` must be a method of efcheck\.methods; got"),  # type: ignore[arg-type]
    "method-text": (lambda: simulate(P, "sgd", 1), r"`method` must be a method of efcheck\.methods; got sgd"),  # type: ignore[arg-type]
    "best-step-without-search": (
        lambda: simulate(P, SGD(BestStep(Bare())), 1),  # type: ignore[arg-type]
        r"`problem` must have line_search\(x, direction\); got Bare",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_simulate_names_the_bad_argument_on_one_line(name: str) -> None:
    call, wording = BAD[name]
    with pytest.raises(ArgumentError, match="^(" + wording + ")") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_gradient_or_compressor_of_the_wrong_shape_is_one_line() -> None:
    class Flat:
        d = 3

        def gradient(self, x: Any, rng: Any) -> Any:
            return x.mean(axis=0)  # (d,): would be broadcast

    with pytest.raises(ArgumentError, match=r"`problem.gradient\(x, rng\)` must return the shape .*; got shape \(3,\)"):
        simulate(Flat(), SGD(0.1), 2, record=("x",))
    with pytest.raises(ArgumentError, match=r"`compressor\(v, rng\)` must return the shape"):
        simulate(SparseNoise(3), EFSGD(0.1, lambda v, rng=None: v[0]), 2)


@pytest.mark.parametrize("block", [16, 100, None])
def test_an_adaptive_rule_may_give_one_step_for_each_run(block: int | None) -> None:
    gammas = np.linspace(0.01, 0.2, 100)
    rule = simulate(SparseNoise(3), SGD(lambda t, x, g: gammas), 5, runs=100, block=block, record=("x",))
    array = simulate(SparseNoise(3), SGD(gammas), 5, runs=100, record=("x",))
    assert np.array_equal(rule["x"], array["x"])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda t, x, g: "a", "be finite and >= 0; got a"),
        (lambda t, x, g: -1, "be finite and >= 0; got -1"),
        (lambda t, x, g: np.ones(7), r"be a number or have shape \(2,\); got shape \(7,\)"),
    ],
    ids=["text", "negative", "wrong shape"],
)
def test_what_an_adaptive_rule_must_not_return(rule: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        simulate(SparseNoise(3), SGD(rule), 2, runs=2)


@pytest.mark.parametrize("rule", [lambda: 0.1, lambda t, x: 0.1], ids=["no argument", "two arguments"])
def test_a_rule_with_another_number_of_arguments_is_refused(rule: Any) -> None:
    with pytest.raises(ArgumentError, match=r"`gamma` must be a rule t -> step or \(t, x, g\) -> step"):
        SGD(rule)


def test_record_must_be_names() -> None:
    with pytest.raises(ArgumentError, match=r"`record` must name some of f, .*; got 5"):
        simulate(SparseNoise(3), SGD(0.1), 2, record=5)  # type: ignore[arg-type]
