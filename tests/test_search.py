"""Tests of efcheck.evidence.search: planted violations, confirmation, shrinking, honest counts, errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from efcheck.bounds import LEMMA_3
from efcheck.errors import ArgumentError
from efcheck.evidence import Evidence, _precise, prove, search
from efcheck.evidence._box import parse
from efcheck.evidence._shrink import candidates, weight

F = Fraction
UNIT2, UNIT3 = [(0, 1)] * 2, [(0, 1)] * 3
LEMMA_BOX = {"t": (1, 10_000, "log", "integer"), "delta": (1e-4, 1, "log")}


def witness(evidence: Evidence) -> dict[str, Fraction]:
    assert evidence.outcome == "refuted", evidence.detail
    return {name: Fraction(value) for name, value in evidence.data["witness"].items()}


def error_gap(constant: Any) -> Any:
    """constant (1 - delta)/delta^2 minus the largest ||e_t||^2 for gamma = sigma = 1, which tends to it for constant 4."""

    def gap(X: Any) -> Any:
        t, delta = X.T
        q = np.sqrt(1 - delta)
        return constant * (1 - delta) / delta**2 - (q * (1 - q**t) / (1 - q)) ** 2

    return gap


# --- planted violations are found, on every seed


PLANTED: dict[str, tuple[Any, Any]] = {
    "in a corner": (lambda X: X.sum(axis=1) - 1e-7, UNIT3),
    "next to a corner": (lambda X: np.abs(X - 0.99913).sum(axis=1) - 1e-6, UNIT3),
    "a kink on an edge": (lambda X: np.abs(X[:, 0] - 0.3137) + (1 - X[:, 1]) - 1e-7, UNIT2),
    "at one point of an edge": (lambda X: np.where((X[:, 0] == 0) & (X[:, 1] > 0), -X[:, 1], X[:, 0]), UNIT2),
    "on a tie": (lambda X: np.abs(X[:, 0] - X[:, 1]) - (X[:, 0] == X[:, 1]) * F(1, 10**6), UNIT3),
    "on a log scale": (lambda X: np.abs(np.log10(X[:, 0]) + 7.3) - 1e-3, [(1e-12, 1, "log")]),
    "at a small scale": (lambda X: X[:, 0] ** 2 - 1e-10 * X[:, 0], [(0, 1)]),
    "in a curved valley": (lambda X: 100 * (X[:, 1] - X[:, 0] ** 2) ** 2 + (0.7131 - X[:, 0]) ** 2 - 1e-9, [(-2, 2)] * 2),
    "at one of 100 000 integers": (lambda X: (X[:, 0] - 54_321) ** 2 - 1, {"n": (0, 100_000, "integer")}),
    "in ten dimensions": (lambda X: 9.99 * (X**2).sum(axis=1) - X.sum(axis=1) ** 2, [(-1, 1)] * 10),
    "where gap vanishes with its scale": (
        lambda X: X[:, 2] * (X[:, 0] ** 2 + X[:, 1] ** 2 - 1.99 * X[:, 0] * X[:, 1] - 1e-9),
        [(0, 1), (0, 1), (1e-9, 1e9, "log")],
    ),
    "a constant of a tight bound one percent too small": (error_gap(3.96), LEMMA_BOX),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", PLANTED)
def test_search_refutes_a_planted_violation(name: str, seed: int) -> None:
    gap, box = PLANTED[name]
    evidence = search(gap, box, budget=10_000, seed=seed)
    assert evidence.outcome == "refuted", evidence.detail
    assert evidence.kind == "search"
    assert evidence.data["confirmed"] == "50 digits"
    assert "confirmed at 50 digits" in evidence.detail
    x = np.array([[float(F(v)) for v in evidence.data["witness"].values()]])
    assert gap(x)[0] < 0
    assert evidence.data["gap"] < 0


@pytest.mark.parametrize("seed", range(2))
def test_search_supports_what_is_true_and_says_on_how_many_points(seed: int) -> None:
    evidence = search(error_gap(4), LEMMA_BOX, budget=4000, seed=seed)
    assert evidence.outcome == "supported"
    assert evidence.detail.startswith("gap >= 0 at 4000 points of the box; smallest ")
    assert evidence.data["evaluations"] == 4000
    assert evidence.data["smallest"] >= 0


def test_the_printed_lemma_3_with_one_percent_off_is_refuted_at_a_point_to_check_by_hand() -> None:
    def gap(X: Any) -> Any:
        t, delta = X.T
        return 0.99 * LEMMA_3.printed(gamma=1.0, sigma=1.0, delta=delta) - LEMMA_3.sharp(t=t, gamma=1.0, sigma=1.0, delta=delta)

    evidence = search(gap, LEMMA_BOX, budget=4000)
    point = witness(evidence)
    assert evidence.data["confirmed"] == "margin"  # efcheck.bounds evaluates in floats
    assert "floats alone" in evidence.detail
    t, delta = int(point["t"]), point["delta"]
    q = mpmath.sqrt(1 - mpmath.mpf(delta.numerator) / delta.denominator)
    assert mpmath.mpf("0.99") * 4 * q**2 / (1 - q**2) ** 2 < (q * (1 - q**t) / (1 - q)) ** 2


# --- shrinking


def test_search_shrinks_to_the_smallest_integer_that_prove_finds() -> None:
    import sympy

    k = sympy.Symbol("k", integer=True)
    exact = prove(4 * k * (k - 1) <= 2 * k**2, [k >= 1])
    found = search(lambda X: 2 * X[:, 0] ** 2 - 4 * X[:, 0] * (X[:, 0] - 1), {"k": (1, 1000, "integer")}, budget=200)
    assert found.data["witness"] == exact.data["witness"] == {"k": "3"}
    assert "shrunk to round numbers from k = 1000" in found.detail


@pytest.mark.parametrize(
    ("gap", "box", "expected"),
    [
        (lambda X: X[:, 0] ** 2 + X[:, 1] ** 2 - 2.02 * X[:, 0] * X[:, 1], {"a": (0, 10), "b": (0, 10)}, {"a": "1", "b": "1"}),
        (lambda X: 0.73 - X[:, 0], {"a": (0, 0.99)}, {"a": "3/4"}),
        (lambda X: np.abs(X[:, 0] - F(1, 3)) - F(1, 10**9), {"a": (0, 1)}, {"a": "1/3"}),
        (lambda X: 1e3 - X[:, 0], {"a": (1, 1e9, "log")}, {"a": "10000"}),
        (lambda X: X[:, 0] + X[:, 1] - X[:, 0] - 1, {"a": (-3.7, 8), "b": (0.3, 5)}, {"a": "0", "b": "1/2"}),
        (lambda X: 6.0 - X.sum(axis=1) - 0 * X[:, 0], [(-2, 2)] * 4, {f"x{i}": "2" for i in range(4)}),
    ],
    ids=["ratio", "quarter", "third", "power of ten", "ends that are not round", "equal coordinates"],
)
def test_search_shrinks_the_witness_to_round_numbers(gap: Any, box: Any, expected: dict[str, str]) -> None:
    assert search(gap, box, budget=2000).data["witness"] == expected


def test_a_shrunk_witness_violates_visibly() -> None:
    evidence = search(lambda X: 1 - X[:, 0] ** 2 / (1 - F(1, 10**7)), {"a": (0.5, 2)}, budget=1000)
    assert evidence.data["gap"] < -1e-4  # a = 1 is rounder, and violates by 1e-7 only


def test_weights_order_numbers_as_a_reader_would() -> None:
    order = [F(0), F(1), F(-1), F(2), F(7), F(10), F(1000), F(1, 2), F(1, 10), F(37, 100), F(7131, 10**4), F(430, 603)]
    assert sorted(order, key=weight) == order


def test_candidates_stay_on_the_axis() -> None:
    (real, integer) = parse({"a": (0.3, 0.9), "n": (2, 40, "log", "integer")}).axes
    assert all(F(3, 10) <= q <= F(9, 10) for q in candidates(real, F(1, 2)))
    assert all(q.denominator == 1 and 2 <= q <= 40 for q in candidates(integer, F(17)))


# --- rounding is no violation


SOUND: dict[str, tuple[Any, Any]] = {
    "a root squared": (lambda X: np.sqrt(X[:, 0]) ** 2 - X[:, 0], [(0, 1)]),
    "an identity": (lambda X: (X[:, 0] + X[:, 1]) ** 2 - X[:, 0] ** 2 - X[:, 1] ** 2 - 2 * X[:, 0] * X[:, 1], UNIT2),
    "a decimal constant": (lambda X: 0.3 * X[:, 0] - 3 * X[:, 0] / 10, [(0, 1e6)]),
    "a computed constant": (lambda X: np.sqrt(2.0) ** 2 * X[:, 0] - 2 * X[:, 0] - 4e-16 * X[:, 0], [(0, 1)]),
    "the tight bound at its limit": (error_gap(4), {"t": (10**6, 10**9, "log", "integer"), "delta": (1e-3, 1, "log")}),
}


@pytest.mark.parametrize("name", SOUND)
def test_rounding_is_not_taken_for_a_violation(name: str) -> None:
    gap, box = SOUND[name]
    evidence = search(gap, box, budget=2000)
    assert evidence.outcome == "supported", evidence.detail


def test_the_second_precision_is_what_tells_rounding_from_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    gap, box = SOUND["a root squared"]
    monkeypatch.setattr(_precise, "MORE_DIGITS", _precise.DIGITS)
    assert search(gap, box, budget=2000).outcome == "refuted"


def test_the_readings_of_a_constant_are_what_tells_one_tenth_from_its_float(monkeypatch: pytest.MonkeyPatch) -> None:
    gap, box = SOUND["a decimal constant"]
    monkeypatch.setattr(_precise, "_readings", lambda rng: [])
    assert search(gap, box, budget=2000).outcome == "refuted"


def test_a_violation_far_below_the_rounding_of_floats_is_confirmed_on_exact_constants() -> None:
    point = (F(1), F(1))
    assert _precise.judge(lambda X: (X[:, 0] - X[:, 1]) ** 2 - F(1, 10**30) * X[:, 0], [point]) == [("below", -1e-30)]


def test_numpy_functions_keep_fifty_digits() -> None:
    def gap(X: Any) -> Any:
        x = X[:, 0]
        return np.log(np.exp(x)) + np.arctan(np.tan(x)) + np.linalg.norm(X, axis=1) + np.float64(2) ** x - 2**x - 3 * abs(x)

    ((word, value),) = _precise.judge(gap, [(F(1, 3),)])
    assert word == "not below"
    assert abs(value) < 1e-48
    assert mpmath.mp.dps == 15  # the caller's precision is left as it was


def test_division_by_zero_and_roots_of_negative_numbers_act_as_in_floats() -> None:
    def gap(X: Any) -> Any:
        x, y = X.T
        safe = np.where(x > 0, np.sqrt(x), np.maximum(np.sqrt(-x - 1), 1 / y)) + 1 / (1 / y) + np.where(y == 0, 0, y**-1)
        return safe - F(1001, 1000) * safe

    evidence = search(gap, [(0.5, 2), (0, 1)], budget=500)
    assert evidence.data["confirmed"] == "50 digits", evidence.detail
    ((word, value),) = _precise.judge(lambda X: X[:, 0] / X[:, 1], [(F(1), F(0))])
    assert (word, np.isnan(value)) == ("unknown", True)


# --- gaps that only take floats


def floats_only(gap: Any) -> Any:
    return lambda X: gap(np.asarray(X, dtype=np.float64))


def test_a_clear_violation_of_a_float_gap_counts_and_says_by_which_margin() -> None:
    evidence = search(floats_only(error_gap(3.96)), LEMMA_BOX)
    assert evidence.outcome == "refuted"
    assert "in floats alone, far below -1e-9 times the scale of gap" in evidence.detail
    assert evidence.data["gap"] < -1e-9 * evidence.data["scale"]


def test_a_slight_violation_of_a_float_gap_stays_undecided_and_says_why() -> None:
    evidence = search(floats_only(PLANTED["in a curved valley"][0]), [(-2, 2)] * 2)
    assert evidence.outcome == "undecided"
    assert "takes no mpmath numbers (it answers in floats), so it is not confirmed" in evidence.detail


@pytest.mark.parametrize("name", SOUND)
def test_rounding_of_a_float_gap_is_never_a_refutation(name: str) -> None:
    gap, box = SOUND[name]
    assert search(floats_only(gap), box, budget=1000).outcome in ("supported", "undecided")


# --- what is not finite


def test_a_gap_that_is_finite_nowhere_is_undecided() -> None:
    evidence = search(lambda X: np.sqrt(-1 - X[:, 0]), [(0, 1)], budget=200)
    assert evidence.outcome == "undecided"
    assert "not finite at any" in evidence.detail


def test_points_where_gap_is_not_finite_are_counted_and_told() -> None:
    evidence = search(lambda X: np.sqrt(X[:, 0]), {"a": (-1, 1)}, budget=1000)
    assert evidence.outcome == "supported"
    assert 400 < evidence.data["not_finite"] < 600
    assert f"gap is not finite at {evidence.data['not_finite']} of them" in evidence.detail


# --- budget, filling, seeds


def test_evaluations_are_counted_honestly_and_half_of_them_fill_the_box_evenly() -> None:
    seen: list[Any] = []

    def gap(X: Any) -> Any:
        seen.append(X.copy())
        return 1 + X[:, 0] * 0

    evidence = search(gap, {"a": (0, 1), "b": (1, 1e6, "log"), "n": (1, 4, "integer")}, budget=2000)
    assert sum(len(X) for X in seen) == evidence.data["evaluations"] == 2000
    assert evidence.data["extra_evaluations"] == 0
    even = seen[0]
    assert len(even) == 1000
    for share in (even[:, 0], np.log10(even[:, 1]) / 6, (even[:, 2] - 0.5) / 4):
        assert np.all(np.abs(np.histogram(share, 4, (0, 1))[0] - 250) <= 8)
    rows = {tuple(row) for row in np.concatenate(seen).tolist()}
    assert {(a, b, n) for a in (0.0, 1.0) for b in (1.0, 1e6) for n in (1.0, 4.0)} <= rows


def test_confirming_and_shrinking_are_counted_apart() -> None:
    evidence = search(PLANTED["in a corner"][0], UNIT3, budget=1000)
    assert evidence.data["evaluations"] <= 1000 < 1000 + evidence.data["extra_evaluations"]


@pytest.mark.parametrize("name", ["in a curved valley", "in ten dimensions"])
def test_equal_seeds_give_equal_evidence(name: str) -> None:
    gap, box = PLANTED[name]
    first, second = (replace(search(gap, box, budget=3000, seed=7), seconds=0.0) for _ in range(2))
    assert first == second
    assert first.to_json() == second.to_json()


def test_a_gap_may_write_to_its_rows_and_an_axis_may_be_a_point() -> None:
    def gap(X: Any) -> Any:
        X[:, 0] -= 5
        return X[:, 0]

    assert search(gap, [(5, 6), (2, 2)], budget=100).outcome == "supported"
    assert witness(search(gap, [(4.9, 6), (2, 2)], budget=100)) == {"x0": F(49, 10), "x1": F(2)}


def test_importing_search_loads_neither_scipy_nor_mpmath_and_leaves_a_function() -> None:
    code = (
        "import sys, efcheck.evidence.search, efcheck.evidence.monte_carlo, efcheck.evidence as e\n"
        "assert callable(e.search) and callable(e.monte_carlo)\n"
        "assert not {'scipy', 'mpmath', 'sympy', 'z3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- errors


ok = [(0, 1)]
ERRORS: dict[str, tuple[Any, str]] = {
    "no box": (lambda: search(abs, 3), r"`box` must be a sequence of axes or a dict name -> axis; got 3\."),
    "no axis": (lambda: search(abs, []), r"`box` must have at least one axis; got none\."),
    "one end": (lambda: search(abs, [(0,)]), r"`box\[0\]` must hold \(low, high\), .*; got \(0,\)\."),
    "an unknown mark": (lambda: search(abs, {"a": (1, 2, "lin")}), r"`box\['a'\]` must hold .*; got \(1, 2, 'lin'\)\."),
    "a number as mark": (lambda: search(abs, [(1, 2, 3)]), r"`box\[0\]` must hold .*; got \(1, 2, 3\)\."),
    "crossed ends": (lambda: search(abs, [(2, 1)]), r"`box\[0\]` must have low <= high; got 2 > 1\."),
    "infinite": (lambda: search(abs, [(0, np.inf)]), r"`box\[0\]\[1\]` must be a finite number; got inf\."),
    "log of 0": (lambda: search(abs, [(0, 1, "log")]), r"`box\[0\]` must have low > 0 on a log axis; got 0\."),
    "half": (lambda: search(abs, [(0.5, 2, "integer")]), r"`box\[0\]\[0\]` must be a whole number .*; got 0\.5\."),
    "budget": (lambda: search(abs, ok, budget=10), r"`budget` must be an integer >= 100; got 10\."),
    "seed": (lambda: search(abs, ok, seed=-1), r"`seed` must be an integer >= 0; got -1\."),
    "shape": (lambda: search(lambda X: X, ok), r"`gap` must return 10000 numbers for 10000 rows.*; got shape \(10000, 1\)\."),
    "scalar": (lambda: search(lambda X: 1.0, ok), r"`gap` must return .*; got shape \(\)\."),
    "words": (lambda: search(lambda X: ["a"] * len(X), ok), r"`gap` must return .*; got ValueError"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_bad_argument_is_refused_in_one_line(name: str) -> None:
    call, message = ERRORS[name]
    with pytest.raises(ArgumentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
