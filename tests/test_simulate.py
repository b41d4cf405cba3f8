"""The simulator: invariances, divergence, records, types and steps."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from simulated import COMPRESSORS, EPS, EVERYTHING, METHODS, RULES, WIDE, same

import efcheck.compressors as c
from efcheck import Trace, simulate
from efcheck.errors import ArgumentError
from efcheck.methods import EF21, EFSGD, SGD, BestStep, CompressedSGD, SignSGD
from efcheck.problems import LeastSquares2D, Linear1D, NonSmooth2D, SparseNoise

# ---------------------------------------------------------------- the virtual iterate


def steps_of(rule: Any, trace: Trace) -> np.ndarray:
    """gamma_t for t < T as (T, runs, 1), computed here and not by the simulator."""
    T, runs = len(trace.t) - 1, trace["x"].shape[1]
    if not callable(rule):
        values = [rule] * T
    elif rule.__code__.co_argcount == 3:
        values = [rule(t, trace["x"][t], trace["g"][t]) for t in range(T)]
    else:
        values = [rule(t) for t in range(T)]
    return np.stack([np.broadcast_to(np.asarray(v, float), (runs,)) for v in values])[:, :, None]


def identity_gap(trace: Trace, rule: Any) -> float:
    """Largest |x_t - e_t - (x_0 - sum gamma g)| over all t and entries, in units of T eps times the largest term."""
    moved = np.cumsum(steps_of(rule, trace) * trace["g"][:-1], axis=0)
    virtual = trace["x"] - trace["e"]
    gap = np.abs(virtual[1:] - (virtual[0] - moved)).max()
    scale = max(np.abs(v).max() for v in (trace["x"], trace["e"], moved))
    return float(gap / (EPS * len(moved) * scale))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_x_minus_e_follows_sgd_on_the_same_gradients(name: str, rule: str) -> None:
    method = EFSGD(RULES[rule], COMPRESSORS[name])
    trace = simulate(SparseNoise(6, 3.0), method, 40, runs=4, record=("x", "e", "g"))
    assert not trace.diverged.any()
    assert identity_gap(trace, RULES[rule]) < 8  # each step rounds x, p, e and gamma g once, at most eps/2 of the scale


class Forgetful(EFSGD):
    """A planted error: the memory is dropped."""

    def remember(self, p: np.ndarray, delta: np.ndarray, state: Any) -> None:
        pass


class Leaky(EFSGD):
    """A planted error that is small: one part in 1e10 of the memory is lost."""

    def remember(self, p: np.ndarray, delta: np.ndarray, state: Any) -> None:
        super().remember(p, delta, state)
        state["e"] *= 1 - 1e-10


@pytest.mark.parametrize("broken", [Forgetful, Leaky])
def test_the_identity_catches_a_method_that_forgets_its_memory(broken: type[EFSGD]) -> None:
    trace = simulate(SparseNoise(6, 3.0), broken(0.05, c.ScaledSign()), 40, runs=4, record=("x", "e", "g"))
    assert identity_gap(trace, 0.05) > 1000


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["sgd", "ef", "momentum", "ef21"])
def test_a_diverging_run_is_frozen_and_touches_no_other(name: str, dtype: str) -> None:
    make: Callable[[Any], Any] = {
        "sgd": SGD,
        "ef": lambda gamma: EFSGD(gamma, c.TopK(3)),
        "momentum": lambda gamma: SGD(gamma, beta=0.5),
        "ef21": lambda gamma: EF21(gamma, c.Identity()),
    }[name]
    gamma = 9.0 if name == "momentum" else 3.0
    record = ("f", "x", "e", "g", "g_norm", "density", "g_density")
    go: Callable[[Any], Trace] = lambda steps: simulate(  # noqa: E731
        SparseNoise(4, 1.0), make(steps), 3000, runs=3, record=record, dtype=dtype
    )
    bad, good = go(np.array([0.1, gamma, 0.2])), go(np.array([0.1, 0.1, 0.2]))
    assert bad.diverged.tolist() == [False, True, False]
    at = int(bad.diverged_at[1])
    assert bad.diverged_at.tolist() == [-1, at, -1]
    assert 30 < at < 3000
    for key in record:
        np.testing.assert_array_equal(bad[key][:, [0, 2]], good[key][:, [0, 2]], err_msg=key)
    assert np.isfinite(bad["x"]).all()
    assert np.isfinite(bad["e"]).all()
    x = bad["x"][:, 1]
    assert (x[at - 1 :] == x[at - 1]).all()
    assert (bad["e"][at - 1 :, 1] == bad["e"][at - 1, 1]).all()
    assert (x[at - 2] != x[at - 1]).any()
    assert np.abs(x[at - 1]).max() > (1e150 if dtype == "float64" else 1e18)  # it went to the edge of the type
    assert np.isnan(bad["g"][at:, 1]).all()
    assert np.isnan(bad["density"][at:, 1]).all()
    assert np.isnan(bad["g_density"][at:, 1]).all()


class Breaks:
    """A user's gradient that is NaN (or infinite) in run 1 once x passes a wall."""

    d = 2

    def __init__(self, value: float) -> None:
        self.value = value

    def gradient(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        g = np.ones_like(x)
        g[x[:, 0] < -5] = [0, self.value]
        return g


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "make",
    [
        SGD,
        SignSGD,
        lambda g: EFSGD(g, c.ScaledSign()),
        lambda g: EFSGD(g, c.ScaledSign(0)),
        lambda g: EFSGD(g, c.QSGD(2)),
        lambda g: EFSGD(g, COMPRESSORS["own"]),
        lambda g: CompressedSGD(g, c.Sign()),
        lambda g: EF21(g, c.TopK(1)),
        lambda g: EF21(g, c.ScaledSign()),
    ],
    ids=["sgd", "sign", "ef", "ef-0", "ef-random", "ef-own", "compressed", "ef21", "ef21-sign"],
)
def test_a_gradient_that_is_not_finite_freezes_its_run(make: Any, value: float) -> None:
    x0 = np.array([[0.0, 0.0], [-3.5, 0.0], [0.0, 0.0]])
    trace = simulate(Breaks(value), make(0.5), 8, runs=3, x0=x0, record=("x", "e", "g", "density", "span_distance"))
    at = int(trace.diverged_at[1])
    assert trace.diverged.tolist() == [False, True, False]
    assert 1 < at < 8
    assert np.isfinite(trace["e"]).all()
    assert (trace["e"][at - 1 :, 1] == trace["e"][at - 1, 1]).all()
    assert (trace["x"][at - 1 :, 1] == trace["x"][at - 1, 1]).all()
    assert np.isnan(trace["g"][at - 1 :, 1]).all()
    assert np.isnan(trace["density"][at - 1 :, 1]).all()
    assert np.isfinite(trace["span_distance"]).all()
    if not getattr(make(0.5).compressor, "stochastic", False):
        np.testing.assert_array_equal(trace["x"][:, 0], trace["x"][:, 2])


@pytest.mark.parametrize("make", [SGD, lambda g: EFSGD(g, c.TopK(3)), lambda g: EFSGD(g, c.ScaledSign())])
def test_runs_that_diverge_one_after_another_each_keep_their_own_state(make: Any) -> None:
    steps = np.array([8.0, 0.1, 3.0, 5.0])
    record = ("f", "x", "e", "g", "density", "g_density")
    trace = simulate(SparseNoise(4, 1.0), make(steps), 2500, runs=4, record=record)
    first, calm, third, second = trace.diverged_at.tolist()
    assert calm == -1
    assert 0 < first < second < third < 2500
    for run, gamma in enumerate(steps):  # the same as with this step size for all: no run takes over another's state
        alone = simulate(SparseNoise(4, 1.0), make(gamma), 2500, runs=4, record=record)
        assert alone.diverged_at[run] == trace.diverged_at[run]
        for name in record:
            np.testing.assert_array_equal(alone[name][:, run], trace[name][:, run], err_msg=name)


# ---------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("T", "every", "times"),
    [(0, 1, [0]), (0, 5, [0]), (1, 5, [0, 1]), (10, 5, [0, 5, 10]), (11, 5, [0, 5, 10, 11]), (3, 1, [0, 1, 2, 3])],
)
def test_rows_are_at_the_multiples_of_every_and_at_the_end(T: int, every: int, times: list[int]) -> None:
    trace = simulate(SparseNoise(6, 1.0), EFSGD(0.1, c.TopK(1)), T, runs=3, every=every, record=EVERYTHING)
    assert trace.t.tolist() == times
    assert trace.names == EVERYTHING
    for name in EVERYTHING:
        vector = name in ("x", "e", "g")
        assert trace[name].shape == ((len(times), 3, 6) if vector else (len(times), 3)), name
        of_gradient = name in ("g", "g_norm", "density", "g_density")
        assert np.isnan(trace[name][-1]).all() == of_gradient, name
        assert np.isfinite(trace[name][:-1]).all(), name
    np.testing.assert_array_equal(trace["x"][0], np.ones((3, 6)))
    assert trace.diverged_at.tolist() == [-1, -1, -1]


def test_scalar_records_are_those_of_the_vectors() -> None:
    trace = simulate(SparseNoise(6, 3.0), EFSGD(0.1, c.TopK(1)), 20, runs=3, record=EVERYTHING)
    x, e, g = trace["x"], trace["e"], trace["g"][:-1]
    p = 0.1 * g + e[:-1]
    close: Any = np.testing.assert_allclose
    close(trace["f"], (x**2).sum(-1) / 2, rtol=10 * EPS)  # the order of a sum of six
    close(trace["e_norm"], np.linalg.norm(e, axis=-1), rtol=10 * EPS)  # the same
    close(trace["g_norm"][:-1], np.linalg.norm(g, axis=-1), rtol=10 * EPS)  # the same
    for name, v in (("density", p), ("g_density", g)):
        expected = np.abs(v).sum(-1) ** 2 / (6 * (v**2).sum(-1))
        close(trace[name][:-1], expected, rtol=30 * EPS)  # sums of six, squared
    for t in range(21):
        for run in range(3):
            G = trace["g"][:t, run].T
            fit = G @ np.linalg.lstsq(G, x[t, run], rcond=None)[0] if t else 0.0
            expected = float(np.linalg.norm(x[t, run] - fit))
            # eps times the condition of the first gradients, about 1e4
            assert trace["span_distance"][t, run] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["sgd", "momentum", "sign", "sign-scaled", "compressed", "ef21"])
def test_a_method_without_memory_records_zero_for_it(name: str) -> None:
    trace = simulate(SparseNoise(6, 3.0), METHODS[name], 5, runs=2, record=("e", "e_norm"))
    assert not trace["e"].any()
    assert not trace["e_norm"].any()
    assert trace["e"].shape == (6, 2, 6)


@pytest.mark.parametrize("compressor", [c.ScaledSign(), c.TopK(2), c.QSGD(8), c.OneBit()], ids=repr)
def test_distance_to_the_span_is_at_most_the_norm_of_the_memory(compressor: Any) -> None:
    # Theorem IV: x - e lies in the span, from x0 = 0
    trace = simulate(WIDE, EFSGD(0.1 / WIDE.L, compressor), 400, runs=2, record=("span_distance", "e_norm", "x"))
    size = np.linalg.norm(trace["x"], axis=-1).max() + trace["e_norm"].max()
    # 400 steps of eps each, on gradients and on x
    assert (trace["span_distance"] <= trace["e_norm"] + 400 * EPS * size).all()
    assert trace["span_distance"].max() > 1e-4 * size  # it is not 0 <= 0


def test_a_trace_names_what_it_has() -> None:
    trace = simulate(Linear1D(), SGD(0.1), 2)
    with pytest.raises(ArgumentError, match=r"`name` must be one of f; got x\. Add it to `record`"):
        trace["x"]
    assert "array" not in repr(trace).split("t=")[0]


# ---------------------------------------------------------------- types and steps


@pytest.mark.parametrize("name", ["sgd", "momentum", "ef", "compressed", "sign-scaled"])
def test_float32_is_close_to_float64(name: str) -> None:
    problem = LeastSquares2D(0.5)
    x = {dtype: simulate(problem, METHODS[name], 50, runs=8, record="x", dtype=dtype)["x"] for dtype in ("float64", "float32")}
    assert x["float32"].dtype == np.float32
    # 50 steps, each eps32 of x <= 2; no sign of a tie is at stake in these runs
    np.testing.assert_allclose(x["float32"], x["float64"], atol=50 * 4 * float(np.finfo(np.float32).eps))


def test_array_gamma_gives_each_run_its_own_step() -> None:
    steps = np.linspace(0.0, 0.4, 20)
    many = simulate(NonSmooth2D(0.5), SGD(steps), 30, runs=20, record="x", block=16)
    for i in (0, 7, 16, 19):
        alone = simulate(NonSmooth2D(0.5), SGD(float(steps[i])), 30, record="x")
        np.testing.assert_array_equal(many["x"][:, i], alone["x"][:, 0])  # deterministic: only gamma tells runs apart


def test_x0_for_each_run_is_used_as_given() -> None:
    x0 = np.random.default_rng(0).normal(size=(20, 6))
    before = x0.copy()
    trace = simulate(SparseNoise(6, 0.0), SGD(0.1), 3, runs=20, x0=x0, record="x", block=16)
    np.testing.assert_array_equal(trace["x"][0], before)
    np.testing.assert_array_equal(x0, before)


def test_the_best_step_solves_a_quadratic_at_once_and_stays() -> None:
    problem = SparseNoise(6, 0.0)
    trace = simulate(problem, SGD(BestStep(problem)), 5, runs=2, record=("f", "x"))
    assert not trace["x"][1:].any()
    wide = simulate(WIDE, SignSGD(BestStep(WIDE)), 60, runs=2)
    # exact line search never goes up, but for the rounding of f
    assert (np.diff(wide["f"], axis=0) <= 100 * EPS * wide["f"][0]).all()
    assert (wide["f"][-1] < 0.5 * wide["f"][0]).all()
    same(wide, simulate(WIDE, SignSGD(BestStep(WIDE)), 60, runs=40, block=16), 2)


def test_an_adaptive_rule_sees_real_runs_and_cannot_write() -> None:
    seen: list[Any] = []

    def rule(t: int, x: np.ndarray, g: np.ndarray) -> float:
        seen.append((t, x.shape, g.shape, x.flags.writeable, g.flags.writeable))
        return 0.1

    simulate(SparseNoise(6, 1.0), SGD(rule), 2, runs=3)
    assert seen == [(t, (3, 6), (3, 6), False, False) for t in range(2)]


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    def peak(T: int) -> int:
        tracemalloc.start()
        try:
            simulate(SparseNoise(10, 1.0), EFSGD(0.01, c.ScaledSign()), T, runs=16, every=20_000)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(70)  # imports and caches
    assert peak(20_000) <= peak(200) + 1_000_000
