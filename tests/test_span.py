"""GradientSpan against least squares and QR, at every scale, and its rank under rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest

from efcheck import GradientSpan, simulate
from efcheck.errors import ArgumentError
from efcheck.methods import SGD
from efcheck.problems import LeastSquares

EPS = np.finfo(float).eps


def filled(G: np.ndarray) -> GradientSpan:
    span = GradientSpan(G.shape[1])
    for g in G:
        span.update(g)
    return span


def by_lstsq(G: np.ndarray, x: np.ndarray) -> float:
    return float(np.linalg.norm(x - G.T @ np.linalg.lstsq(G.T, x, rcond=None)[0]))


@pytest.mark.parametrize("seed", range(20))
def test_distance_equals_that_of_lstsq_on_random_gradients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 30))
    G = rng.normal(size=(int(rng.integers(1, d + 3)), d))
    x = rng.normal(size=d)
    span = filled(G)
    assert span.rank == np.linalg.matrix_rank(G)
    # backward stable factorisations: eps times the size times the condition, below 1e3 d here
    assert span.distance(x) == pytest.approx(by_lstsq(G, x), abs=1e4 * d * EPS * float(np.linalg.norm(x)))


def test_basis_is_orthonormal_for_ill_conditioned_gradients() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=40)
    G = base + 1e-7 * rng.normal(size=(12, 40))  # cosines within 1e-14 of one
    span = filled(G)
    q = span.basis
    assert span.rank == 12
    # "twice is enough": orthogonal to rounding of d-term sums whatever the condition
    np.testing.assert_allclose(q @ q.T, np.eye(12), atol=40 * EPS)
    exact = np.linalg.qr(G.T)[0]
    # the subspace itself moves by eps * cond = 2e-16 * 1e8
    np.testing.assert_allclose(q.T @ q, exact @ exact.T, atol=1e-6)


def test_repeated_parallel_and_zero_gradients_do_not_grow_the_span() -> None:
    rng = np.random.default_rng(2)
    g = rng.normal(size=9)
    span = GradientSpan(9)
    assert not span.update(np.zeros(9))
    assert span.rank == 0
    assert span.distance(g) == pytest.approx(float(np.linalg.norm(g)), rel=9 * EPS)  # another order of the sum
    assert span.update(g)
    assert not any(span.update(c * g) for c in (1.0, -1.0, 1 / 3, 0.1, 7e5))
    assert span.rank == 1
    assert span.distance(-2.5 * g) <= 10 * EPS * 2.5 * float(np.linalg.norm(g))  # two projections' rounding


@pytest.mark.parametrize("scale", [1e-200, 1e-300, 1e-4, 1e150, 1e300])
def test_tiny_and_huge_gradients_give_the_same_span_as_those_of_size_one(scale: float) -> None:
    rng = np.random.default_rng(3)
    G, x = rng.normal(size=(4, 7)), rng.normal(size=7)
    span = filled(scale * G)
    assert span.rank == 4
    expected = by_lstsq(G, x)
    assert span.distance(x) == pytest.approx(expected, rel=1e-12)  # condition below 100, times eps
    assert span.distance(scale * x) == pytest.approx(scale * expected, rel=1e-12)  # the same


def test_one_dimension_is_spanned_by_its_first_nonzero_gradient() -> None:
    span = GradientSpan(1)
    assert span.distance(np.array([-3.0])) == 3.0
    assert not span.update(np.array([0.0]))
    assert span.update(np.array([-1e-200]))
    assert span.distance(np.array([5.0])) == 0.0
    assert span.rank == 1


def test_a_full_span_has_distance_zero_and_stays_full() -> None:
    span = filled(np.random.default_rng(4).normal(size=(5, 5)))
    assert span.rank == 5
    assert span.distance(np.arange(5.0)) == 0.0
    assert not span.update(np.ones(5))


def test_rank_does_not_exceed_the_number_of_rows_of_a_converged_run() -> None:
    rng = np.random.default_rng(5)
    problem = LeastSquares(rng.normal(size=(6, 40)), rng.normal(size=6))
    step = 1 / problem.L
    x, span = problem.x0.copy(), GradientSpan(40)
    for _ in range(4000):
        g = problem.gradient(x)
        span.update(g)
        x -= step * g
    assert float(np.linalg.norm(g)) < 1e-9  # converged: the last gradients are rounding
    assert 1 <= span.rank <= 6
    trace = simulate(problem, SGD(step), 4000, record="span_distance", every=500)
    # SGD never leaves the span; T updates of eps ||x||
    assert trace["span_distance"].max() <= 4000 * EPS * float(np.linalg.norm(x))


def test_error_stays_below_1e_9_of_x_at_three_hundred_dimensions() -> None:
    rng = np.random.default_rng(6)
    G, x = rng.normal(size=(250, 300)), rng.normal(size=300)
    q = np.linalg.qr(G.T)[0]
    expected = float(np.linalg.norm(x - q @ (q.T @ x)))
    size = float(np.linalg.norm(x))
    span = filled(G)
    assert span.rank == 250
    assert abs(span.distance(x) - expected) < 1e-9 * size  # asked for
    assert span.distance(G.T @ rng.normal(size=250)) < 1e-9 * 300  # a point of the span, of size about 300


def test_float32_gradients_are_taken_as_they_are() -> None:
    span = GradientSpan(2)
    assert span.update(np.array([1, 0], np.float32))
    assert span.distance(np.array([3, 4], np.float32)) == 4.0


@pytest.mark.parametrize(
    ("call", "wording"),
    [
        (lambda: GradientSpan(0), r"`d` must be an integer >= 1; got 0"),
        (lambda: GradientSpan(2.0), r"`d` must be an integer >= 1; got 2\.0"),  # type: ignore[arg-type]
        (lambda: GradientSpan(2).update(np.ones(3)), r"`g` must have shape \(2,\); got shape \(3,\)"),
        (lambda: GradientSpan(2).update(np.array([1.0, math.nan])), r"`g` must be finite; got nan at index 1"),
        (lambda: GradientSpan(2).distance(np.ones((1, 2))), r"`x` must have shape \(2,\); got shape \(1, 2\)"),
        (lambda: GradientSpan(2).distance(np.array([math.inf, 1.0])), r"`x` must be finite; got inf at index 0"),
        (lambda: GradientSpan(1).distance(np.array([1j])), r"`x` must be an array of real numbers; got dtype complex"),
    ],
    ids=["d-zero", "d-float", "g-shape", "g-nan", "x-shape", "x-inf", "x-complex"],
)
def test_span_names_the_bad_argument(call, wording: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArgumentError, match="^" + wording):
        call()
