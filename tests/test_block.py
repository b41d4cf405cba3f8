"""A block of runs: gamma g at once, storage by columns and NumPy's buffer change the speed and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import efcheck.compressors as c
from efcheck import Trace, simulate
from efcheck._block import Block
from efcheck.arrays import row_dot, zeros
from efcheck.compressors.base import row_mean
from efcheck.methods import EF21, EFSGD, SGD, BestStep, CompressedSGD, Method, SignSGD
from efcheck.problems import SparseNoise

EPS = np.finfo(float).eps
STATES = ("f", "x", "e", "e_norm")
EVERYTHING = (*STATES, "g", "g_norm", "density", "g_density", "span_distance")
STEPS = np.linspace(0.0, 0.2, 300)
RULES: dict[str, Any] = {
    "number": 0.05,
    "array": STEPS,
    "schedule": lambda t: 0.1 / (1 + t),
    "schedule-array": lambda t: STEPS / (1 + t),
}
BY_COLUMNS: dict[str, Method] = {
    "zero-minus": EFSGD(0.02, c.ScaledSign(-1)),
    "zero-0": EFSGD(0.02, c.ScaledSign(0)),
    "zero-plus": EFSGD(0.02, c.ScaledSign()),
    "schedule": EFSGD(lambda t: 0.1 / (1 + t), c.ScaledSign()),
}


class ByRows(SparseNoise):
    columns = False


class Doubled(SparseNoise):
    """A user's own gradient, which knows no gamma."""

    def gradient_given(self, x: Any, noise: Any, out: Any = None) -> Any:  # type: ignore[override]
        g = super().gradient_given(x, noise, out)
        g *= 2
        return g


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """The blocks that were run."""
    seen: list[Block] = []
    run = Block.run
    monkeypatch.setattr(Block, "run", lambda self: (seen.append(self), run(self))[1])
    return seen


def same(a: Trace, b: Trace, runs: int, names: Any = None) -> None:
    _, i, j = np.intersect1d(a.t, b.t, return_indices=True)
    for name in names or a.names:
        np.testing.assert_array_equal(a[name][i, :runs], b[name][j, :runs], err_msg=name)


# ---------------------------------------------------------------- gamma g at once


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("gamma", [0.3, np.linspace(0, 1, 7)[:, None]], ids=["number", "column"])
def test_gamma_g_has_the_bits_of_the_product(gamma: Any, dtype: Any) -> None:
    problem, rng = SparseNoise(5, 3.0), np.random.default_rng(0)
    x, noise, step = rng.normal(size=(7, 5)).astype(dtype), rng.normal(size=7), np.asarray(gamma, dtype)
    g = problem.gradient_given(x, noise)
    expected = x.copy()
    expected[:, 0] += (3.0 * noise).astype(dtype)
    np.testing.assert_array_equal(g, expected)
    out = np.full_like(x, np.nan)
    assert problem.gradient_given(x, noise, out, gamma=step) is out
    np.testing.assert_array_equal(out, step * g)
    assert out.dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("compressor", [c.ScaledSign(), c.TopK(2), c.QSGD(2)], ids=repr)
@pytest.mark.parametrize("rule", RULES)
def test_a_run_does_not_depend_on_whether_somebody_looks_at_g(
    rule: str, compressor: Any, dtype: str, blocks: list[Block]
) -> None:
    method = EFSGD(RULES[rule], compressor)
    go: Callable[[Any], Trace] = lambda record: simulate(  # noqa: E731
        SparseNoise(6, 3.0), method, 30, runs=300, record=record, dtype=dtype
    )
    same(go(STATES), go((*STATES, "g")), 300)
    assert [b.scaled_gradients is not None for b in blocks] == [True, False]


@pytest.mark.parametrize("runs", [4, 300])
def test_runs_that_diverge_do_not_depend_on_whether_somebody_looks_at_g(runs: int, blocks: list[Block]) -> None:
    steps = np.resize([8.0, 0.1, 3.0, 5.0], runs)
    go: Callable[[Any], Trace] = lambda record: simulate(  # noqa: E731
        SparseNoise(4, 1.0), EFSGD(steps, c.ScaledSign()), 1500, runs, record=record, every=50
    )
    free, watched = go(STATES), go(EVERYTHING[:-1])
    assert [b.scaled_gradients is not None for b in blocks] == [True, False]
    np.testing.assert_array_equal(free.diverged, steps > 1)
    np.testing.assert_array_equal(free.diverged_at, watched.diverged_at)
    same(free, watched, runs)
    assert all(np.isfinite(free[name]).all() for name in ("x", "e"))


def test_only_a_method_that_keeps_gamma_g_takes_it_and_only_where_nobody_looks(blocks: list[Block]) -> None:
    problem, sign = SparseNoise(6, 3.0), c.ScaledSign()
    cases: list[tuple[Any, Method, str]] = [
        (problem, SGD(0.1), "f"),
        (problem, EF21(0.1, sign), "f"),
        (problem, EFSGD(lambda t, x, g: 0.1, sign), "f"),
        *((problem, EFSGD(0.1, sign), name) for name in EVERYTHING[4:]),
        (Doubled(6, 3.0), EFSGD(0.1, sign), "f"),
    ]
    for problem, method, name in cases:
        simulate(problem, method, 2, record=name)
    assert all(b.scaled_gradients is None for b in blocks)


def test_an_own_gradient_without_gamma_is_not_passed_by() -> None:
    twice = simulate(Doubled(6, 3.0), EFSGD(0.05, c.ScaledSign()), 20, runs=3, record=("x", "e"))
    same(twice, simulate(SparseNoise(6, 3.0), EFSGD(0.1, c.ScaledSign()), 20, runs=3, record=("x", "e")), 3)  # 2 is exact


# ---------------------------------------------------------------- storage by columns


@pytest.mark.parametrize("d", [1, 2, 6, 100])
@pytest.mark.parametrize("name", BY_COLUMNS)
def test_by_columns_a_run_does_not_depend_on_runs_blocks_or_threads(name: str, d: int, blocks: list[Block]) -> None:
    def draw(rng: np.random.Generator, runs: int) -> np.ndarray:
        return rng.normal(size=(runs, d))

    go: Callable[..., Trace] = lambda **kw: simulate(  # noqa: E731
        SparseNoise(d, 3.0), BY_COLUMNS[name], 24, x0=draw, record=record, **kw
    )
    record = EVERYTHING if d == 6 else EVERYTHING[:-1]  # the span is slow
    one, many = go(), go(runs=300, every=8)  # from 300 rows on without NumPy's buffer
    same(one, many, 1)
    same(go(runs=17), many, 17)
    same(go(runs=40, block=16, threads=2, every=10), many, 40)
    assert all(b.columns for b in blocks)
    assert sorted({b.rows for b in blocks}) == [16, 32, 304]
    assert np.isfinite(many["x"]).all()
    assert len(np.unique(many["x"][-1], axis=0)) == 300


@pytest.mark.parametrize("name", BY_COLUMNS)
def test_by_columns_only_the_order_of_sums_differs(name: str, blocks: list[Block]) -> None:
    def go(kind: type[SparseNoise]) -> Trace:
        return simulate(kind(6, 3.0), BY_COLUMNS[name], 40, runs=300, record=EVERYTHING[:-1], every=3)

    columns, rows = go(SparseNoise), go(ByRows)
    assert [b.columns for b in blocks] == [True, False]
    for key in columns.names:  # six terms a sum, 40 steps; no sign of a tie is at stake in these runs
        scale = np.nanmax(np.abs(rows[key]))
        np.testing.assert_allclose(columns[key], rows[key], rtol=0, atol=40 * 6 * EPS * scale, err_msg=key)


@pytest.mark.parametrize("runs", [3, 300])
@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_by_columns_three_steps_of_ef_signsgd_equal_the_computation_by_hand(runs: int, zero: int) -> None:
    # g = x, gamma = 1/2: p = (2,-1), (1.75,0.25), (1.5,-1.5): scales 1.5, 1, 1.5
    x = [(4, -2), (2.5, -0.5), (1.5, -1.5), (0, 0)]
    e = [(0, 0), (0.5, 0.5), (0.75, -0.75), (0, 0)]
    method = EFSGD(0.5, c.ScaledSign(zero))
    trace = simulate(SparseNoise(2, 0.0), method, 3, runs, x0=np.array(x[0], float), record=("f", "x", "e"))
    for run in range(runs):
        np.testing.assert_array_equal(trace["x"][:, run], x)
        np.testing.assert_array_equal(trace["e"][:, run], e)
        np.testing.assert_array_equal(trace["f"][:, run], [10, 3.25, 2.25, 0])


def test_what_cannot_be_stored_by_columns_is_not(blocks: list[Block]) -> None:
    sign, p = c.ScaledSign(), SparseNoise(6, 3.0)
    cases: list[tuple[Any, Method, str]] = [
        (p, SGD(0.1), "float64"),
        (p, SignSGD(0.1, scaled=True), "float64"),
        (p, CompressedSGD(0.1, sign), "float64"),
        (p, EF21(0.1, sign), "float64"),
        (p, EFSGD(0.1, c.TopK(2)), "float64"),
        (p, EFSGD(0.1, c.QSGD(2)), "float64"),
        (p, EFSGD(0.1, lambda v, rng=None: v), "float64"),
        (p, EFSGD(lambda t, x, g: 0.1, sign), "float64"),
        (p, SGD(BestStep(p)), "float64"),
        (p, EFSGD(0.1, sign), "float32"),
        (SparseNoise(257, 3.0), EFSGD(0.1, sign), "float64"),
        (ByRows(6, 3.0), EFSGD(0.1, sign), "float64"),
    ]
    for problem, method, dtype in cases:
        simulate(problem, method, 2, runs=300, dtype=dtype)
    assert not any(b.columns for b in blocks)


def test_numpys_buffer_is_as_before_also_after_an_error() -> None:
    class Broken(SparseNoise):
        def _f(self, x: Any) -> Any:
            sizes.append(np.getbufsize())
            raise ZeroDivisionError

    sizes: list[int] = []
    before, method = np.getbufsize(), EFSGD(0.1, c.ScaledSign())
    for threads in (1, 2):
        simulate(SparseNoise(6, 3.0), method, 2, runs=600, block=300, threads=threads)
        assert np.getbufsize() == before
        with pytest.raises(ZeroDivisionError):
            simulate(Broken(6, 3.0), method, 2, runs=600, block=300, threads=threads)
        assert np.getbufsize() == before
    assert set(sizes) == {16}


@pytest.mark.parametrize("d", [1, 2, 3, 100])
def test_sums_by_columns_are_sums_and_a_rows_bits_are_its_own(d: int) -> None:
    v = np.random.default_rng(1).normal(size=(304, d))
    x = np.asfortranarray(v)
    exact = [math.fsum(a * a for a in row) for row in v]  # of rounded squares: one rounding each
    np.testing.assert_allclose(row_dot(x, x), exact, rtol=(d + 2) * EPS)
    mean = row_mean(np.abs(x), d)
    assert mean.shape == (304, 1)
    np.testing.assert_allclose(mean[:, 0], [math.fsum(np.abs(row)) / d for row in v], rtol=(d + 2) * EPS)
    for rows in (16, 48):
        part = np.asfortranarray(v[:rows])
        np.testing.assert_array_equal(row_dot(part, part), row_dot(x, x)[:rows])
        np.testing.assert_array_equal(row_mean(np.abs(part), d), mean[:rows])
    huge = np.asfortranarray(np.full((16, d), 1.5e308))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(row_mean(huge, d), 1.5e308, rtol=4 * EPS)  # the sum overflows, the mean does not


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("columns", [False, True])
def test_zeros_start_on_a_cache_line(columns: bool, dtype: Any) -> None:
    kept = []
    for _ in range(20):
        v = zeros(32, 3, np.dtype(dtype), columns)
        assert v.shape == (32, 3)
        assert v.dtype == dtype
        assert not v.any()
        assert v.ctypes.data % 64 == 0
        assert v.flags.f_contiguous if columns else v.flags.c_contiguous
        v[...] = 1  # the next ones are new
        kept.append(v)
