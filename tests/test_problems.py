"""Problems: gradients, optima, projections, line searches, streams and messages."""

from __future__ import annotations

import numpy as np
import pytest

from efcheck.errors import ArgumentError
from efcheck.problems import (
    LOSSES,
    LeastSquares,
    LeastSquares2D,
    Linear1D,
    Loss,
    NonSmooth2D,
    Problem,
    SignAligned,
    SparseNoise,
    wilson_data,
)
from efcheck.problems.optimum import minimise, multipliers

DATA = np.array([[1.0, -2.0, 0.5], [-3.0, 1.0, -1.0], [0.3, -0.4, 2.0], [1.5, -1.0, 0.1], [-0.2, 0.7, -0.9]])
LABELS = np.array([0.5, -2.0, 3.0, 1.0, 0.0])

# name -> (problem, factor): E[g] = factor * grad f
PROBLEMS: dict[str, tuple[Problem, float]] = {
    "linear1d": (Linear1D(), 1.0),
    "nonsmooth2d": (NonSmooth2D(0.3), 1.0),
    "leastsquares2d": (LeastSquares2D(0.4), 0.5),
    "sparse": (SparseNoise(6, 2.0), 1.0),
    "ls": (LeastSquares(DATA, LABELS), 1.0),
    "ls-mean": (LeastSquares(DATA, LABELS, mean=True), 1.0),
    "ls-wide": (LeastSquares(DATA.T, LABELS[:3]), 1.0),
}
for _loss in LOSSES:
    PROBLEMS[f"aligned-{_loss}"] = (SignAligned(DATA, _loss, b=LABELS), 1 / 5)
    PROBLEMS[f"aligned-{_loss}-star"] = (SignAligned(DATA, _loss, x_star=[1.0, -1.0, 2.0]), 1 / 5)

every = pytest.mark.parametrize("name", PROBLEMS)


def points(p: Problem, runs: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(runs, p.d))
    return p.project(x)


def difference_quotient(p: Problem, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    return np.stack([(p.f(x + h * e) - p.f(x - h * e)) / (2 * h) for e in np.eye(p.d)], axis=-1)


@every
def test_mean_gradient_is_the_stated_multiple_of_the_derivative_of_f(name: str) -> None:
    p, factor = PROBLEMS[name]
    x = points(p, 20)
    # central differences: h^2 curvature and eps/h rounding, both below 1e-8 of values of size 100
    np.testing.assert_allclose(p.mean_gradient(x), factor * difference_quotient(p, x), atol=2e-6)


def test_the_derivative_check_catches_a_wrong_factor() -> None:
    p, _ = PROBLEMS["leastsquares2d"]
    x = points(p, 20)
    assert np.abs(p.mean_gradient(x) - difference_quotient(p, x)).max() > 0.1


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n.startswith(("aligned", "leastsquares2d", "linear"))])
def test_gradients_average_exactly_to_the_mean_gradient(name: str) -> None:
    p, _ = PROBLEMS[name]
    cells = 5 if name.startswith("aligned") else 4
    x = points(p, 7)
    # one noise value inside each equally likely cell enumerates the outcomes
    g = [p.gradient_given(x, np.full(7, (i + 0.5) / cells)) for i in range(cells)]
    np.testing.assert_allclose(np.mean(g, axis=0), p.mean_gradient(x), rtol=1e-12, atol=1e-13)


@every
def test_sampled_gradients_have_the_mean_gradient_as_mean(name: str) -> None:
    p, _ = PROBLEMS[name]
    n = 20_000
    x = np.tile(points(p, 1, 3), (n, 1))
    g = p.gradient(x, np.random.default_rng(5))
    # 6 standard errors, false alarm below 2e-9 per entry by the normal approximation (and the seed is fixed)
    error = np.abs(g.mean(axis=0) - p.mean_gradient(x[:1])[0])
    assert (error <= 6 * g.std(axis=0) / np.sqrt(n) + 1e-9).all()
    if p.sigma is not None:
        assert np.square(g).sum(axis=1).mean() <= p.sigma**2 * 1.1


@every
def test_no_perturbation_improves_on_x_star(name: str) -> None:
    p, _ = PROBLEMS[name]
    rng = np.random.default_rng(1)
    scales = 10.0 ** rng.uniform(-5, 1, size=(5000, 1))
    x = p.project(p.x_star + scales * rng.normal(size=(5000, p.d)))
    assert p.f(p.x_star) == pytest.approx(p.f_star, abs=1e-15)
    # f at x_star carries rounding of a few eps times its terms, at most 100 here
    assert p.f(x).min() >= p.f_star - 1e-13


def test_the_optimality_check_catches_a_shifted_x_star() -> None:
    p = SignAligned(DATA, "squared", b=LABELS)
    assert p.f(p.x_star + 0.1) > p.f_star + 1e-3


@every
def test_smoothness_constant_bounds_the_change_of_the_derivative_of_f(name: str) -> None:
    p, factor = PROBLEMS[name]
    if p.L is None:
        pytest.skip("f is not smooth")
    x, y = points(p, 500, 1), points(p, 500, 2)
    change = np.linalg.norm(p.mean_gradient(x) - p.mean_gradient(y), axis=1) / factor
    assert (change <= p.L * np.linalg.norm(x - y, axis=1) * (1 + 1e-12)).all()


@every
def test_line_search_beats_a_fine_grid(name: str) -> None:
    p, _ = PROBLEMS[name]
    x, direction = points(p, 40), np.random.default_rng(9).normal(size=(40, p.d))
    gamma = p.line_search(x, direction)
    assert gamma.shape == (40,)
    assert (gamma >= 0).all()
    assert (gamma > 0).any()
    best = p.f(p.project(x - gamma[:, None] * direction))
    for step in np.concatenate([np.linspace(0, 5, 1001), np.geomspace(1e-6, 1e3, 200)]):
        # rounding of f, relative to its value
        assert (best <= p.f(p.project(x - step * direction)) * (1 + 1e-12) + 1e-12).all()
    np.testing.assert_array_equal(p.line_search(x, np.zeros_like(x)), 0)
    flat = p.line_search(np.tile(p.x_star, (3, 1)), np.ones((3, p.d)))
    assert (flat <= 1e-7).all()


def test_line_search_returns_the_smallest_minimiser() -> None:
    # from (1, 1) along (1, 1) the kink x1 + x2 = 0 is at gamma = 1
    assert NonSmooth2D().line_search([1.0, 1.0], [1.0, 1.0]) == 1
    # |r1| + |r2| with equal slopes is flat between the kinks 1 and 3
    p = SignAligned([[1.0, 1.0], [1.0, 1.0]], "absolute", b=[0.0, 2.0])
    assert p.line_search([3.0, 0.0], [1.0, 0.0]) == 1
    assert Linear1D().line_search([[0.5], [-1.0], [0.0]], [[0.5], [1.0], [-1.0]]).tolist() == [3, 0, 0]


def test_projection_clips_linear1d_and_copies_elsewhere() -> None:
    assert Linear1D().project(np.array([[-3.0], [0.5], [2.0]])).ravel().tolist() == [-1, 0.5, 1]
    x = np.ones((2, 2))
    y = NonSmooth2D().project(x)
    y[:] = 0
    assert x.sum() == 4


@every
def test_chunked_noise_is_the_whole_noise(name: str) -> None:
    p, _ = PROBLEMS[name]
    whole = p.sample(np.random.default_rng(3), 7, 4)
    rng = np.random.default_rng(3)
    parts = [p.sample(rng, steps, 4) for steps in (2, 4, 1)]
    if whole is None:
        assert parts == [None] * 3
        assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state
        assert p.gradient(p.x0[None]).shape == (1, p.d)
    else:
        assert whole.shape == (7, 4)
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        with pytest.raises(ArgumentError, match="`rng` must be"):
            p.gradient(p.x0[None], None)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_keep_the_type_and_the_input_and_write_into_out(name: str, dtype: type) -> None:
    p, _ = PROBLEMS[name]
    x = points(p, 6).astype(dtype)
    before = x.copy()
    noise = p.sample(np.random.default_rng(0), 1, 6)
    row = None if noise is None else noise[0]
    out = np.empty_like(x)
    g = p.gradient_given(x, row)
    assert p.gradient_given(x, row, out) is out
    np.testing.assert_array_equal(out, g)
    for result in (g, p.f(x), p.mean_gradient(x), p.project(x), p.line_search(x, x)):
        assert result.dtype == dtype
    np.testing.assert_array_equal(x, before)
    # a float32 gradient is the float64 one up to a few hundred rounding errors of entries below 100
    full = p.gradient_given(x.astype(np.float64), row)
    if "absolute" not in name and name != "nonsmooth2d":
        np.testing.assert_allclose(g, full, atol=5e-4)


@every
def test_rowwise_problems_give_each_row_the_same_bits(name: str) -> None:
    p, _ = PROBLEMS[name]
    x = points(p, 37)
    noise = p.sample(np.random.default_rng(0), 1, 37)
    for i in (0, 5, 36):
        one = x[i : i + 1]
        g = p.gradient_given(x, None if noise is None else noise[0])[i]
        alone = p.gradient_given(one, None if noise is None else noise[0, i : i + 1])[0]
        if p.rowwise:
            np.testing.assert_array_equal(g, alone)
            assert p.f(x)[i] == p.f(one)[0]
        else:
            np.testing.assert_allclose(g, alone, rtol=1e-10, atol=1e-12)


@every
def test_leading_axes_are_free(name: str) -> None:
    p, _ = PROBLEMS[name]
    x = points(p, 6).reshape(2, 3, p.d)
    assert p.f(x).shape == (2, 3)
    assert p.gradient(x, np.random.default_rng(0)).shape == x.shape
    assert p.f(x[0, 0]).shape == ()


def test_nonsmooth2d_uses_the_stated_sign_of_zero() -> None:
    for zero in (-1, 0, 1):
        assert NonSmooth2D(0.5, zero=zero).gradient([1.0, 1.0]).tolist() == [0.5 + zero, 0.5 - zero]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("loss", LOSSES)
def test_minimise_is_stationary_on_random_and_tied_data(loss: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 30)), int(rng.integers(2, 6))
    A = np.round(rng.uniform(0.5, 3.5, size=(n, d))) if seed % 2 else rng.uniform(0.1, 2, size=(n, d))
    b = np.round(3 * rng.normal(size=n)) if seed % 2 else 3 * rng.normal(size=n)
    x = minimise(A, b, LOSSES[loss])
    _, remainder = multipliers(A, A @ x - b, LOSSES[loss], 1e-10)
    assert remainder < 1e-6
    value = LOSSES[loss].value
    for scale in (1e-3, 0.1, 1.0):
        near = x + scale * rng.normal(size=(300, d))
        assert (value(near @ A.T - b).sum(axis=1) >= value(A @ x - b).sum() - 1e-9).all()


def test_losses_are_stable_near_zero_and_far_away() -> None:
    logistic = LOSSES["logistic"]
    r = np.array([1e-8, 1.0, 1e4])
    expected = [1e-16 / 4, np.log1p(np.e) + np.log1p(1 / np.e) - 2 * np.log(2), 1e4 - 2 * np.log(2)]
    np.testing.assert_allclose(logistic.value(r), expected, rtol=1e-12)
    assert LOSSES["absolute"].derivative(np.zeros(1))[0] == 0


def test_sign_aligned_gradients_have_signs_plus_or_minus_s() -> None:
    p = SignAligned(DATA, "logistic", b=LABELS)
    g = p.gradient(points(p, 200), np.random.default_rng(0))
    assert set(np.unique(np.sign(g) * p.s @ np.ones(3))) <= {-3.0, 3.0}
    np.testing.assert_array_equal(np.sign(DATA), p.orientation[:, None] * p.s)


def test_unique_is_certified_only_with_full_rank() -> None:
    assert not SignAligned([[1.0, 2.0]]).unique
    for loss in LOSSES:
        assert SignAligned(DATA, loss).unique
    # median of an even number of points: an interval of minimisers
    assert not SignAligned([[1.0, 1.0], [1.0, 1.0]], "absolute", b=[0.0, 2.0]).unique


def test_a_tied_minimiser_of_absolute_deviations_is_accepted_and_a_worse_point_is_not() -> None:
    rng = np.random.default_rng(37)  # more rows than d at their kink, of very different sizes
    n, d = int(rng.integers(2, 150)), int(rng.integers(2, 12))
    A = rng.integers(1, 4, size=(n, d)) * np.where(rng.random((n, 1)) < 0.5, -1.0, 1.0)
    b = rng.integers(-3, 4, size=n) * 1.0
    x = minimise(A, b, LOSSES["absolute"])
    assert SignAligned(A, "absolute", b=b, x_star=x).f_star <= SignAligned(A, "absolute", b=b).f_star + 1e-12
    with pytest.raises(ArgumentError, match="`x_star` must minimise f"):
        SignAligned(A, "absolute", b=b, x_star=x + 1e-3)


@pytest.mark.parametrize("n", [4, 10, 60])
def test_wilson_data_has_the_layout_of_the_paper(n: int) -> None:
    A1, y1, A2, y2 = wilson_data(n, np.random.default_rng(n))
    A, y = np.concatenate([A1, A2]), np.concatenate([y1, y2])
    assert A1.shape == A2.shape == (n // 2, 6 * n)
    np.testing.assert_array_equal(A[:, 0], y)
    assert set(y) <= {-1.0, 1.0}
    assert (A[:, 1:3] == 1).all()
    np.testing.assert_array_equal(A[:, 3:].sum(axis=1), np.where(y == 1, 1, 5))
    starts = np.argmax(A[:, 3:] != 0, axis=1)
    np.testing.assert_array_equal(np.sort(starts), 5 * np.arange(n))
    for row, start in zip(A, starts, strict=True):
        width = 1 if row[0] == 1 else 5
        assert (row[3 + start : 3 + start + width] == 1).all()
    assert np.linalg.matrix_rank(A1 @ A1.T) == n // 2
    assert LeastSquares(A1, y1).f_star < 1e-20


BAD = {
    "epsilon zero": (lambda: NonSmooth2D(0.0), r"`epsilon` must be a number in \(0, 1\)"),
    "epsilon one": (lambda: LeastSquares2D(1.0), r"`epsilon` must be a number in \(0, 1\)"),
    "zero": (lambda: NonSmooth2D(zero=2), "`zero` must be -1, 0 or 1"),
    "d": (lambda: SparseNoise(d=0), "`d` must be an integer >= 1"),
    "noise": (lambda: SparseNoise(noise=-1), "`noise` must be a finite number >= 0"),
    "x shape": (lambda: NonSmooth2D().f(np.ones(3)), r"`x` must have shape \(..., 2\); got shape \(3,\)"),
    "direction": (lambda: NonSmooth2D().line_search(np.ones((2, 2)), np.ones((3, 2))), "`direction` must have"),
    "nan": (lambda: LeastSquares([[1.0, np.nan]], [1.0]), r"`A` must be finite; got nan at index \(0, 1\)"),
    "sizes": (lambda: LeastSquares(DATA, [1.0]), r"`y` must have shape \(5,\); got shape \(1,\)"),
    "not a matrix": (lambda: LeastSquares([1.0], [1.0]), "`A` must be a matrix"),
    "one column": (lambda: SignAligned([[1.0]]), "`A` must have at least 2 columns"),
    "zero entry": (lambda: SignAligned([[1.0, 2.0], [1.0, 0.0]]), r"no zero entry; got 0.0 at index \(1, 1\)"),
    "signs": (lambda: SignAligned([[1.0, 2.0], [1.0, -1.0]]), "other signs in row 1"),
    "loss": (lambda: SignAligned(DATA, "hinge"), "`loss` must be a Loss or one of squared"),
    "unknown loss": (
        lambda: SignAligned(DATA, Loss("quartic", np.abs, np.sign, np.zeros_like), b=LABELS),
        "`loss` must be one whose minimiser is known",
    ),
    "b": (lambda: SignAligned(DATA, b=[1.0]), r"`b` must have shape \(5,\)"),
    "not optimal": (lambda: SignAligned(DATA, b=LABELS, x_star=np.ones(3)), "`x_star` must minimise f"),
    "odd n": (lambda: wilson_data(5, np.random.default_rng(0)), "`n` must be even"),
    "small n": (lambda: wilson_data(2, np.random.default_rng(0)), "`n` must be an integer >= 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        call()
