"""evidence.replay: exact runs that exceed a right side, functions and compressors that are what they claim, planted errors."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp

from efcheck.bounds import LEMMA_3, THEOREM_2, THEOREM_3, R
from efcheck.errors import ArgumentError
from efcheck.evidence import replay, worst_case
from efcheck.evidence._replay_instance import Instance
from efcheck.evidence._replay_parts import Envelope, MaxAffine, Table, simplex_least
from efcheck.evidence.replay import function, recheck, run
from efcheck.evidence.worst_case import _COST

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

SHARE = sp.Rational(99, 100)


def exceeded(quantity: str, above: Any, **letters: Any) -> Any:
    """The replayed instance, read back from its JSON text."""
    found = replay(quantity, above=above, **letters)
    assert (found.kind, found.outcome) == ("witness", "refuted"), found.detail
    told = json.loads(json.dumps(found.data["instance"]))
    again = recheck(told, above)
    assert again.outcome == "refuted" and float(again.data["left"]) == found.data["left"] > found.data["right"]
    return Instance.from_json(told)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """A run against 99 % of the worst case, as JSON."""
    letters = {"T": 2, "delta": "3/4", "gamma": "1/2"}
    right = Fraction(99, 100) * Fraction(worst_case("gradient_norm", T=2, delta=0.75, gamma=0.5, f0=1.0).data["value"])
    return dict(exceeded("gradient_norm", float(right), **letters, f0=1).to_json())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"f": []}, "a function value for each gradient"),
        ({"g": [["1"]]}, "3 gradients"),
        ({"residual": []}, "T residuals"),
        ({"letters": {"delta": "-3"}}, "0 < delta <= 1"),
        ({"letters": {"gamma": "0"}}, "gamma, sigma, L > 0"),
        ({"letters": {"L": "-1"}}, "gamma, sigma, L > 0"),
        ({"letters": {"sigma": None}}, "all letters but f0"),
        ({"letters": {"T": "-1"}}, "T >= 0"),
        ({"letters": {"T": "2.5"}}, "what `replay` writes"),
        ({"letters": {"gamma": "1/0"}}, "what `replay` writes"),
        ({"letters": {"gamma": "1e99999999"}}, "what `replay` writes"),
        ({"g": [["1e-99999999"]] * 3}, "what `replay` writes"),
        ({"letters": {"R": "1"}}, "the letters T, delta"),
        ({"quantity": "contraction"}, "a quantity among"),
        ({"method": "SGD"}, "a method among"),
        ({"x": []}, "what `replay` writes"),
        ({"x": [["1"] * 9] * 3}, "one dimension"),
        ({"mean": {"slope": ["1"], "f": "1"}}, "a mean for suboptimality alone"),
    ],
)
def test_what_is_no_run_is_one_clear_line(told: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    changed = {**told, **changes, "letters": told["letters"] | changes.get("letters", {})}
    with pytest.raises(ArgumentError, match=says) as raised:
        recheck(changed, sp.Rational(0))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [None, [], {}, "text"])
def test_nor_is_anything_else(data: Any) -> None:
    with pytest.raises(ArgumentError, match="what `replay` writes"):
        recheck(data, sp.Rational(0))


@pytest.mark.parametrize("gamma", ["1e-25", "1e25"])
def test_the_unit_of_x_decides_nothing(gamma: str) -> None:
    below = sp.Rational(99, 100) * LEMMA_3.sharp.expression
    found = replay("error_norm", above=below, T=2, delta="3/4", gamma=gamma)
    assert found.outcome == "refuted" and recheck(found.data["instance"], below).outcome == "refuted"
    assert recheck(found.data["instance"], LEMMA_3.sharp).outcome == "undecided"


@pytest.mark.parametrize(
    "above", [float("nan"), float("inf"), None, THEOREM_2, "x +"], ids=["nan", "inf", "none", "bound", "text"]
)
def test_what_is_no_right_side_is_one_line(above: Any) -> None:
    with pytest.raises(ArgumentError, match="`above` must be a right side") as error:
        replay("error_norm", above=above, T=1, delta="3/4", gamma=1)
    assert "\n" not in str(error.value)


def test_f0_is_priced_as_the_right_side_has_it() -> None:
    """Half of it, T = 0: f0 + 1/4 with f0 = 1/2 is less than ||g||^2 = 1; at the whole price 1 - 2 f0 = 0 is the most."""
    assert exceeded("gradient_norm", THEOREM_2.printed.expression / 2, T=0, delta=1, gamma=1).f[0] < Fraction(3, 4)


@pytest.mark.parametrize(("given", "right"), [({"R": 0}, 10), ({}, 11), ({"R": 2}, 12)])
def test_a_distance_of_0_is_not_one_left_out(given: dict[str, Any], right: int) -> None:
    found = replay("suboptimality", above=R + 10, T=1, delta="1/2", gamma=1, **given)
    assert found.outcome == "supported" and f"right side {right}:" in found.detail


# -- true bounds are attained to 1 % ------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 3, 8])
@pytest.mark.parametrize("delta", ["1/10", "1/2", "9/10"])
def test_lemma_3_sharp_times_0_99_is_refuted_in_one_dimension(T: int, delta: str) -> None:
    instance = exceeded("error_norm", SHARE * LEMMA_3.sharp.expression, T=T, delta=delta, gamma="1/3", sigma=2)
    assert instance.d == 1


@pytest.mark.parametrize("T", [0, 1, 4])
@pytest.mark.parametrize("delta", ["1/2", "9/10"])
def test_theorem_3_sharp_times_0_99_is_refuted_in_one_dimension(T: int, delta: str) -> None:
    letters = {"T": T, "delta": delta, "gamma": Fraction(2, T + 1), "R": 2}
    assert exceeded("suboptimality", SHARE * THEOREM_3.sharp.expression, **letters).d == 1


@pytest.mark.parametrize("method", ["EFSGD", "CompressedSGD", "EF21"])
@pytest.mark.parametrize("quantity", ["error_norm", "gradient_norm", "suboptimality"])
def test_97_percent_of_any_worst_case_are_replayed(quantity: str, method: str) -> None:
    own: dict[str, Any] = {"error_norm": {}, "gradient_norm": {"L": 1.5, "f0": 0.9}, "suboptimality": {"R": 1.25}}[quantity]
    letters: dict[str, Any] = {"T": 3, "delta": 0.6, "gamma": 0.75, "sigma": 2, "method": method} | own
    exceeded(quantity, round(0.97 * worst_case(quantity, **letters).data["value"], 9), **letters)


@pytest.mark.parametrize(
    ("quantity", "above"),
    [("error_norm", LEMMA_3.sharp), ("suboptimality", THEOREM_3.sharp), ("gradient_norm", THEOREM_2.repaired)],
)
def test_bounds_that_hold_are_not_exceeded(quantity: str, above: Any) -> None:
    """Of the repaired Theorem II, far from it; of the sharp forms 1.0001 times them, the solver's digits aside."""
    expression = above.expression * sp.Rational(10001, 10000)
    found = replay(quantity, above=expression, T=4, delta="1/2", gamma="1/5")
    assert (found.kind, found.outcome) == ("sdp", "supported")


@pytest.mark.slow
def test_theorem_2_as_printed_is_refuted_by_a_replayed_run() -> None:
    letters = {"T": 14, "delta": "199/200", "gamma": "7/4"}  # where a scan by worst_case sees it exceeded
    instance = exceeded("gradient_norm", THEOREM_2.printed, **letters)
    assert instance.d <= 2
    assert recheck(instance.to_json(), THEOREM_2.repaired).outcome == "undecided"


# -- the hypotheses are checked -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smooth() -> Instance:
    return exceeded("gradient_norm", sp.Rational(4, 5), T=4, delta="1/2", gamma="3/2", f0=1)


@pytest.fixture(scope="module")
def convex() -> Instance:
    return exceeded("suboptimality", SHARE * THEOREM_3.sharp.expression, T=3, delta="1/2", gamma=Fraction(1, 4))


def scaled(vectors: tuple[Any, ...], index: int, factor: Fraction) -> tuple[Any, ...]:
    return tuple(tuple(factor * c for c in v) if i == index else v for i, v in enumerate(vectors))


LARGER = Fraction(11, 10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: {"g": scaled(i.g, 1, LARGER)}, "larger than sigma"),
        (lambda i: {"residual": scaled(i.residual, 0, LARGER)}, "contracts too little"),
        (lambda i: {"letters": i.letters | {"delta": Fraction(2, 3)}}, "contracts too little"),
        (lambda i: {"letters": i.letters | {"L": Fraction(1, 2)}}, "no L-smooth function"),
        (lambda i: {"letters": i.letters | {"f0": i.f[0] / 2}}, "larger than f0"),
        (lambda i: {"f": tuple(v - Fraction(1, 2) for v in i.f)}, "below its infimum"),
        (lambda i: {"f": (i.f[0] + 1, *i.f[1:]), "letters": i.letters | {"f0": Fraction(9)}}, "no L-smooth function"),
        (lambda i: {"method": "CompressedSGD"}, ""),
    ],
    ids=["moment", "message", "delta", "L", "f0", "infimum", "value", "method"],
)
def test_a_broken_hypothesis_of_a_smooth_run_is_named(smooth: Instance, change: Any, says: str) -> None:
    assert next(smooth.broken(), None) is None
    altered = dataclasses.replace(smooth, **change(smooth))
    assert any(says in why for why in altered.broken())
    assert recheck(altered.to_json(), sp.Rational(0)).outcome == "undecided"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: {"x0": tuple(LARGER * c for c in i.x0)}, "farther than R"),
        (lambda i: {"slope": tuple(3 * c for c in i.slope)}, "slope at the mean"),
        (lambda i: {"f_mean": i.f_mean + 1}, "no convex function"),
        (lambda i: {"f": (i.f[0] - 1, *i.f[1:])}, "no convex function"),
    ],
    ids=["R", "slope", "mean", "value"],
)
def test_a_broken_hypothesis_of_a_convex_run_is_named(convex: Instance, change: Any, says: str) -> None:
    assert next(convex.broken(), None) is None
    assert any(says in why for why in dataclasses.replace(convex, **change(convex)).broken())


def test_a_compressor_that_is_no_map_is_named() -> None:
    letters = {"T": 2, "delta": Fraction(1, 2), "gamma": Fraction(1), "sigma": Fraction(1)}
    twice = Instance(
        "error_norm", "CompressedSGD", letters, (Fraction(0),), ((Fraction(1),),) * 2, ((Fraction(1, 2),), (Fraction(0),))
    )
    assert list(twice.broken()) == ["the compressor answers twice differently at t = 1"]


def test_left_sides_by_hand() -> None:
    """C(p) = p/2, g = 1, gamma = 1: e_1 = 1/2, e_2 = 3/4; x = 0, -1/2, -5/4."""
    letters = {"T": 2, "delta": Fraction(3, 4), "gamma": Fraction(1), "sigma": Fraction(1)}
    one, half = (Fraction(1),), (Fraction(1, 2),)
    instance = Instance("error_norm", "EFSGD", letters, (Fraction(0),), (one, one), (half, (Fraction(3, 4),)))
    assert instance.left() == Fraction(9, 16) and instance.x == [(0,), (Fraction(-1, 2),), (Fraction(-5, 4),)]
    assert instance.mean == (Fraction(-7, 12),) and list(instance.broken()) == []
    plain = dataclasses.replace(instance, method="CompressedSGD", residual=(half, half))
    assert plain.left() == 1 and plain.p == [one, one]
    ef21 = dataclasses.replace(instance, method="EF21", residual=(half, (Fraction(1, 4),)))  # h = 1/2, 3/4
    assert ef21.x[-1] == (Fraction(-5, 4),) and ef21.p[1] == half


# -- the function and the compressor ------------------------------------------------------------------------------


def test_the_smooth_function_goes_through_the_points_is_smooth_and_stays_above_its_infimum(smooth: Instance) -> None:
    problem = function(smooth)
    rng = np.random.default_rng(0)
    x = rng.normal(scale=3, size=(300, smooth.d))
    g, f = problem.mean_gradient(x), problem.f(x)
    assert problem.f(problem.points) == pytest.approx(problem.values, abs=1e-9)
    assert problem.mean_gradient(problem.points) == pytest.approx(problem.slopes, abs=1e-9)
    assert f.min() >= (problem.values - np.square(problem.slopes).sum(axis=1) / 2).min() - 1e-9 >= -1e-9
    steps, turns = x[1:] - x[:-1], g[1:] - g[:-1]
    assert (np.linalg.norm(turns, axis=1) <= (1 + 1e-7) * np.linalg.norm(steps, axis=1)).all()
    h = 1e-5
    for axis in np.eye(smooth.d):
        central = (problem.f(x + h * axis) - problem.f(x - h * axis)) / (2 * h)
        assert central == pytest.approx(g @ axis, abs=1e-4)


def test_the_convex_function_goes_through_the_points_and_is_convex(convex: Instance) -> None:
    problem = function(convex)
    assert isinstance(problem, MaxAffine)
    assert problem.f(problem.points) == pytest.approx(problem.values, abs=1e-12)
    x, y = np.random.default_rng(0).normal(size=(2, 200, convex.d))
    assert (problem.f(y) >= problem.f(x) + (problem.mean_gradient(x) * (y - x)).sum(axis=1) - 1e-12).all()
    assert problem.f(x).min() >= -1e-12


def test_huber_is_the_envelope_of_its_two_rays() -> None:
    """Points (2, 3/2) and (-2, 3/2) with slopes 1 and -1, L = 1: the largest 1-smooth function through them."""
    problem = Envelope(np.array([[2.0], [-2.0]]), np.array([[1.0], [-1.0]]), np.array([1.5, 1.5]), 1.0)
    assert problem.mean_gradient(np.array([[2.0], [0.0], [-2.0]])).ravel() == pytest.approx([1, 0, -1], abs=1e-12)
    assert problem.f(np.array([[2.0], [-2.0]])) == pytest.approx([1.5, 1.5], abs=1e-12)


def test_the_table_contracts_everywhere_and_is_exact_at_its_entries(smooth: Instance) -> None:
    p = np.array([[float(c) for c in v] for v in smooth.p])
    residual = np.array([[float(c) for c in v] for v in smooth.residual])
    compress = Table(p, residual)
    assert compress(p) == pytest.approx(p - residual, abs=1e-12)
    v = np.random.default_rng(0).normal(size=(500, smooth.d)) * 10 ** np.random.default_rng(1).uniform(-3, 3, (500, 1))
    lost = np.square(compress(v) - v).sum(axis=1) / np.square(v).sum(axis=1)
    assert (lost <= 1 - float(smooth.letters["delta"]) + 1e-12).all()
    assert not compress(np.zeros((1, smooth.d))).any()


@pytest.mark.parametrize("seed", range(20))
def test_simplex_least_satisfies_its_optimality_conditions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, target, cost = rng.normal(size=(3, 8)), rng.normal(size=3), rng.normal(size=8)
    w = simplex_least(matrix, target, cost)
    slope = 2 * matrix.T @ (matrix @ w - target) + cost
    assert (w >= 0).all() and w.sum() == pytest.approx(1, abs=1e-9)
    assert slope.min() >= w @ slope - 1e-8  # no vertex is better to first order


@pytest.mark.parametrize("name", ["smooth", "convex"])
def test_simulate_gives_what_the_rationals_say(name: str, request: pytest.FixtureRequest) -> None:
    instance = request.getfixturevalue(name)
    assert run(instance) == pytest.approx(float(instance.left()), rel=1e-10)


# -- the call -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": "contraction"}, "`quantity` must be one of error_norm, gradient_norm, suboptimality; got contraction."),
        ({"delta": "half"}, "`delta` must be a rational number; got half."),
        ({"delta": "1/0"}, "`delta` must be a rational number; got 1/0."),
        ({"gamma": "1e99999999"}, "`gamma` must be a rational number; got 1e99999999."),
        ({"gamma": True}, "`gamma` must be a rational number; got True."),
        ({"R": 1}, "`R` must be left out: error_norm has T, delta, gamma, sigma; got 1.0."),
        ({"T": 61}, f"`T` must be an integer in [1, 60]; got 61. {_COST}"),
        ({"delta": 2}, "`delta` must be a number in (0, 1]; got 2.0."),
        (
            {"above": LEMMA_3.sharp.expression * sp.Symbol("k")},
            "`above` must be in the letters T, delta, gamma, sigma, f0; got k.",
        ),
    ],
    ids=["quantity", "text", "no number", "huge", "truth", "surplus", "long", "range", "letter"],
)
def test_bad_arguments_are_one_line(changes: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"quantity": "error_norm", "above": LEMMA_3.sharp, "T": 2, "delta": "1/2", "gamma": 1}
    with pytest.raises(ArgumentError) as error:
        replay(**(call | changes))
    assert str(error.value) == message
