"""Tests of efcheck.evidence: the record, proofs and witnesses, exact iterates, the DKW test."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy
from sympy import Abs, And, Eq, Implies, Max, Min, Ne, Not, Or, Piecewise, Rational, Symbol, exp, sqrt, symbols

from efcheck.errors import ArgumentError
from efcheck.evidence import Evidence, combine, dkw, exact, prove

x, y, k = symbols("x y k")
r, s = symbols("r s", real=True)
p, q = symbols("p q", positive=True)
n = Symbol("n", integer=True)
F = Fraction


def witness(evidence: Evidence) -> dict[str, Fraction]:
    return {name: Fraction(value) for name, value in evidence.data["witness"].items()}


# --- the record


def test_evidence_refuses_an_unknown_kind_or_outcome() -> None:
    with pytest.raises(ArgumentError, match=r"`kind` must be one of identity, .*; got guess\."):
        Evidence("guess", "proved", "")
    with pytest.raises(ArgumentError, match=r"`outcome` must be one of proved, .*; got true\."):
        Evidence("exact", "true", "")
    with pytest.raises(ArgumentError, match="`seconds` must be a number >= 0"):
        Evidence("exact", "proved", "", seconds=float("nan"))


def test_evidence_covering_copies_and_leaves_the_original() -> None:
    piece = Evidence("exact", "proved", "by hand", {"a": 1})
    assert piece.covering("part a") == Evidence("exact", "proved", "by hand", {"a": 1}, covers="part a")
    assert piece.covers == "" and hash(piece) == hash(Evidence("exact", "proved", "by hand", {"b": 2}))


def test_evidence_to_json_writes_rationals_as_text_and_numpy_as_numbers() -> None:
    data = {
        "fraction": F(3, 4), "sympy": Rational(-1, 3), "three": sympy.Integer(3), "root": sqrt(2),
        "float": sympy.Float(0.5), "np": np.float32(0.5), "int": np.int64(7), "flag": np.bool_(True),
        "array": np.array([1.0, np.inf]), 1: (F(1, 2),),
    }  # fmt: skip
    written = Evidence("exact", "proved", "d", data, "c", 1.5).to_json()
    assert list(written) == ["kind", "outcome", "covers", "detail", "data", "seconds"]
    assert json.loads(json.dumps(written, allow_nan=False)) == {
        "kind": "exact", "outcome": "proved", "covers": "c", "detail": "d", "seconds": 1.5,
        "data": {
            "fraction": "3/4", "sympy": "-1/3", "three": "3", "root": "sqrt(2)", "float": 0.5, "np": 0.5, "int": 7,
            "flag": True, "array": [1.0, "inf"], "1": ["1/2"],
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "verdict"),
    [
        ("", "undecided"),
        ("a:proved", "proved"),
        ("a:supported", "supported"),
        ("a:undecided", "undecided"),
        ("a:proved a:undecided", "proved"),
        ("a:supported a:undecided", "undecided"),
        ("a:proved a:refuted", "refuted"),
        ("a:proved b:supported", "supported"),
        ("a:proved b:undecided", "undecided"),
        ("a:supported b:undecided", "undecided"),
        ("a:undecided b:refuted", "refuted"),
        ("a:undecided a:proved b:proved b:supported", "proved"),
    ],
)
def test_combine_follows_the_table(pieces: str, verdict: str) -> None:
    given = [piece.split(":") for piece in pieces.split()]
    assert combine(Evidence("search", outcome, "", covers=part) for part, outcome in given) == verdict


def test_combine_never_calls_a_part_without_proof_proved() -> None:
    for outcomes in product(["proved", "supported", "undecided"], repeat=3):
        pieces = [Evidence("search", o, "", covers=str(i)) for i, o in enumerate(outcomes)]
        assert (combine(pieces) == "proved") == (set(outcomes) == {"proved"})


def test_import_loads_neither_sympy_nor_z3() -> None:
    code = (
        "import sys, efcheck.evidence as e; import efcheck.evidence.prove\n"
        "assert callable(e.prove) and not {'sympy', 'z3'} & set(sys.modules)\n"
        "e.exact.sgd; e.dkw; e.Evidence\n"
        "assert not {'sympy', 'z3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- prove


PROVED: dict[str, tuple[Any, Any]] = {
    "range of k": (4 * k * (k - 1) <= 2 * k**2, [k >= 1, k <= 2]),
    "identity": (Eq((x + y) ** 2, x**2 + 2 * x * y + y**2), []),
    "rational identity": (Eq(1 / (x - 1) - 1 / (x + 1), 2 / (x**2 - 1)), []),
    "non-strict with equal sides": ((x + 1) ** 2 <= x**2 + 2 * x + 1, []),
    "equation needing its hypothesis": (Eq(x**3, 4 * x), [Eq(x**2, 4)]),
    "root": (sqrt(x * y) <= (x + y) / 2, [x >= 0, y >= 0]),
    "root in a denominator": (1 / sqrt(p) + sqrt(p) >= 2, []),
    "power 3/2": (p ** Rational(3, 2) <= p**2, [p >= 1]),
    "root of a plain symbol squared": (Eq(sqrt(x**2), Abs(x)), []),
    "Abs": (Abs(r + s) <= Abs(r) + Abs(s), []),
    "Max and Min": (Eq(Max(x, y) + Min(x, y), x + y), []),
    "sign": (Eq(sympy.sign(r) * r, Abs(r)), []),
    "Piecewise": (Piecewise((x, x > 0), (-x, True)) >= 0, []),
    "Piecewise guards a quotient": (Piecewise((1 / x, x > 0), (0, True)) >= 0, []),
    "incomplete Piecewise": (Piecewise((x, x > 0)) > 0, []),
    "positive symbol": (p + 1 / p >= 2, []),
    "integer symbol": (n**2 >= n, []),
    "even symbol": (Ne(Symbol("m", even=True), 3), []),
    "outside the pole": (1 / x > 0, [x >= 0]),
    "implication": (Implies(x > 1, x**2 > x), []),
    "negation": (Not(And(x > 1, x**2 < 1)), []),
    "disjunction": (Or(x > 1, x < 2), []),
    "true": (True, [x > 1]),
    "evaluated by SymPy": (exp(r) > 0, []),
    "one hypothesis without a list": (x > 0, x > 1),
}


@pytest.mark.parametrize("case", PROVED.values(), ids=PROVED.keys())
def test_prove_proves(case: tuple[Any, Any]) -> None:
    evidence = prove(*case)
    assert evidence.outcome == "proved", evidence.detail


REFUTED: dict[str, tuple[Any, Any]] = {
    "range of k too wide": (4 * k * (k - 1) <= 2 * k**2, [k >= 1]),
    "strict where equal": (p + 1 / p > 2, []),
    "strict with equal sides": ((x + 1) ** 2 < x**2 + 2 * x + 1, []),
    "constant one percent too small": (x * (1 - x) <= Rational(99, 400), []),
    "constant one percent too small, two variables": (x * y <= Rational(99, 200) * (x**2 + y**2), []),
    "equation false from below only": (Eq(Abs(r), r), []),
    "root": (sqrt(x) <= x, []),
    "root, irrational sides": (sqrt(x) + sqrt(y) <= sqrt(x + y), [x >= 1]),
    "Abs": (Abs(r + s) >= Abs(r) + Abs(s), []),
    "sign at zero": (Eq(sympy.sign(r) ** 2, 1), []),
    "Piecewise": (Piecewise((x, x > 0), (-x, x > -1), (x, True)) >= 0, []),
    "integers only": (3 * n**2 - 7 * n + 4 >= n, [n >= 0]),
    "float one percent off": (p + 1 / p >= 2.02, []),
    "disjunction": (Or(x > 1, x < 0), []),
    "implication": (Implies(x > 0, x**2 > x), []),
    "false": (False, [x > 1]),
    "thin set": (x < Rational(1, 3), [Abs(3 * x - 1) <= Rational(1, 1000)]),
}


@pytest.mark.parametrize("case", REFUTED.values(), ids=REFUTED.keys())
def test_prove_refutes_with_an_exact_witness(case: tuple[Any, Any]) -> None:
    relation, assume = case
    evidence = prove(relation, assume)
    assert evidence.outcome == "refuted", evidence.detail
    free = set().union(*(sympy.sympify(e).free_symbols for e in [relation, *assume]))
    point = {symbol: Rational(evidence.data["witness"][symbol.name]) for symbol in free}
    assert sympy.sympify(relation).subs(point) == sympy.false
    assert all(a.subs(point) == sympy.true for a in assume)
    assert all(symbol.is_integer is not True or value.is_integer for symbol, value in point.items())


def test_prove_shows_the_false_numbers() -> None:
    kk = Symbol("k", integer=True)
    evidence = prove(4 * kk * (kk - 1) <= 2 * kk**2, [kk >= 1], covers="Lemma")
    assert evidence.detail == "false at k = 3: 24 <= 18" and evidence.covers == "Lemma"
    assert witness(evidence) == {"k": 3}


def test_prove_gives_integer_symbols_integer_witnesses() -> None:
    relation = (2 * n - 3) ** 2 >= 2
    assert witness(prove(relation))["n"].denominator == 1
    assert prove((2 * x - 3) ** 2 >= 1).outcome == "refuted"
    assert prove((2 * n - 3) ** 2 >= 1).outcome == "proved"


def test_prove_leaves_undefined_points_out_and_says_so() -> None:
    assert "points where a side is undefined are outside" in prove(1 / x > 0, [x >= 0]).detail
    assert "undefined" in prove(Eq((x**2 - 1) / (x - 1), x + 1)).detail
    assert "undefined" not in prove(p + 1 / p >= 2).detail
    assert witness(prove(1 / r >= 0))["r"] < 0
    assert prove(x >= -1, [sqrt(x + 1) < 5]).outcome == "proved"


def test_prove_names_the_hypotheses() -> None:
    detail = prove(p * x >= 0, [x >= 1]).detail
    assert "for all real p, x with p positive, x >= 1" in detail


@pytest.mark.parametrize(
    ("relation", "assume"),
    [
        pytest.param(x > 0, [x > 1, x < 0], id="empty"),
        pytest.param(n > 0, [n > 0, n < 1], id="no integer"),
        pytest.param(p > 1, [p < 0], id="against the symbol"),
        pytest.param(True, [x**2 < 0], id="true"),
        pytest.param(Eq(x * (x + 1), x**2 + x), [x > 1, x < 0], id="identity"),
        pytest.param(sqrt(-1 - x**2) > 0, [], id="undefined everywhere"),
    ],
)
def test_prove_refuses_hypotheses_that_cannot_be_met(relation: Any, assume: list[Any]) -> None:
    with pytest.raises(ArgumentError, match="`assume` must be satisfiable"):
        prove(relation, assume)


@pytest.mark.parametrize(
    ("relation", "assume", "message"),
    [
        pytest.param(Eq(Symbol("z", complex=True), 1), [], "z, which is not declared real", id="complex"),
        pytest.param(Eq(Symbol("z", imaginary=True) * y, x), [], "z, which is not declared real", id="imaginary"),
        pytest.param(x > 0, [Symbol("x", real=True) > 0], "two different symbols x", id="same name"),
        pytest.param(x + 1, [], "`relation` must be a SymPy relation", id="no relation"),
        pytest.param(x > 0, [x], r"`assume\[0\]` must be a SymPy relation", id="no hypothesis"),
        pytest.param(x > 0, 3, "`assume` must be a relation or an iterable", id="number"),
    ],
)
def test_prove_refuses_its_arguments(relation: Any, assume: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        prove(relation, assume)


@pytest.mark.parametrize(
    ("relation", "named"), [(2**k > k, "2**k"), (exp(r) > r, "exp"), (sympy.pi * r < r**2 + 3, "pi")], ids=str
)
def test_prove_is_undecided_about_what_it_does_not_cover(relation: Any, named: str) -> None:
    evidence = prove(relation)
    assert evidence.outcome == "undecided"
    assert named in evidence.detail


def test_prove_is_undecided_where_only_irrational_points_refute() -> None:
    assert prove(x < 1, [Eq(x**2, 2)]).outcome == "undecided"


def test_prove_keeps_its_time_limit() -> None:
    a, b, c = symbols("a b c", integer=True)
    start = time.perf_counter()
    evidence = prove(Ne(a**3 + b**3 + c**3, 114), [a * b * c > 1000], timeout_s=1.0)
    assert evidence.outcome in ("undecided", "refuted") and time.perf_counter() - start < 60  # of hours


# --- exact iterates


def test_sign_methods_follow_their_convention_at_zero() -> None:
    assert [exact.sign(v, 0) for v in (F(-1, 2), 0, 3)] == [-1, 0, 1]
    assert exact.scaled_sign((3, 0, -1)) == (F(4, 3), F(4, 3), F(-4, 3))
    assert exact.scaled_sign((3, 0, -1), zero=0) == (F(4, 3), 0, F(-4, 3))
    assert exact.scaled_sign((0, 0)) == (0, 0)
    assert exact.top_k((1, -2, 2), 1) == (0, -2, 0)


def test_sgd_three_steps_by_hand() -> None:
    assert exact.sgd(lambda t, v: (2 * v[0],), (1,), [F(1, 4)] * 3) == [(1,), (F(1, 2),), (F(1, 4),), (F(1, 8),)]


def test_sign_sgd_three_steps_by_hand() -> None:
    xs = exact.sign_sgd(lambda t, v: (v[0] - 1, v[1]), (0, 1), lambda t, v, g: F(1, t + 1), T=3)
    assert xs == [(0, 1), (1, 0), (1, 0), (1, 0)]
    assert exact.sign_sgd(lambda t, v: v, (0,), [1], zero=-1) == [(0,), (1,)]


def test_ef_sgd_three_steps_by_hand() -> None:
    gradients = [(3, 1), (-1, 1), (1, 0)]
    xs, es = exact.ef_sgd(lambda t, v: gradients[t], (0, 0), [1, F(1, 2), 1], exact.scaled_sign)
    # p_0 = (3, 1), C = (2, 2); p_1 = (1/2, -1/2), C = itself; p_2 = (1, 0), C = (1/2, 1/2)
    assert xs == [(0, 0), (-2, -2), (F(-5, 2), F(-3, 2)), (-3, -2)]
    assert es == [(0, 0), (1, -1), (0, 0), (F(1, 2), F(-1, 2))]
    plain = exact.sgd(lambda t, v: gradients[t], (0, 0), [1, F(1, 2), 1])
    assert [tuple(a - b for a, b in zip(v, e, strict=True)) for v, e in zip(xs, es, strict=True)] == plain


def test_exact_methods_refuse_floats_and_missing_steps() -> None:
    with pytest.raises(ArgumentError, match=r"`x0\[0\]` must be a Fraction or an integer; got 0\.5\. Pass Fraction"):
        exact.sgd(lambda t, v: v, (0.5,), [1])
    with pytest.raises(ArgumentError, match=r"`gammas\[0\]`"):
        exact.sign_sgd(lambda t, v: v, (1,), [0.1])
    with pytest.raises(ArgumentError, match=r"`gradient\[0\]`"):
        exact.sgd(lambda t, v: (0.5,), (1,), [1])
    with pytest.raises(ArgumentError, match="Pass T"):
        exact.sgd(lambda t, v: v, (1,), lambda t, v, g: 1)
    with pytest.raises(ArgumentError, match="`gradient` must have 2 entries; got 1"):
        exact.sgd(lambda t, v: (1,), (1, 2), [1])


# --- DKW


def draws(law: list[float], seed: int = 0, size: int = 100_000) -> Any:
    return np.random.default_rng(seed).choice([-1.0, 0.1, 3.0], p=law, size=size)


def test_dkw_supports_the_true_law_up_to_rounding() -> None:
    sample = draws([0.25, 0.25, 0.5])
    evidence = dkw(sample * (1 + 1e-15), [-1.0, 0.1, 3.0], [F(1, 4), F(1, 4), F(1, 2)])
    assert evidence.outcome == "supported" and evidence.kind == "statistics"
    assert evidence.data["n"] == 100_000 and evidence.data["distance"] <= evidence.data["threshold"]


def test_dkw_catches_a_law_shifted_by_two_percent() -> None:
    evidence = dkw(draws([0.27, 0.23, 0.5]), [-1.0, 0.1, 3.0], [0.25, 0.25, 0.5])
    assert evidence.outcome == "refuted" and "false alarm" in evidence.detail


def test_dkw_refutes_a_draw_off_the_support() -> None:
    sample = draws([0.25, 0.25, 0.5])
    sample[17] += 1e-6
    evidence = dkw(sample, [-1.0, 0.1, 3.0], [0.25, 0.25, 0.5])
    assert evidence.outcome == "refuted" and "draw 17" in evidence.detail


def test_dkw_handles_one_value_and_too_few_draws() -> None:
    assert dkw(np.zeros(100), [0.0], [1]).outcome == "supported"
    assert dkw([1.0], [0.0, 1.0], [F(1, 2), F(1, 2)]).outcome == "undecided"


def test_dkw_false_alarms_stay_below_alpha() -> None:
    alarms = sum(dkw(draws([0.25, 0.25, 0.5], i, 500), [-1.0, 0.1, 3.0], [0.25, 0.25, 0.5], 0.1).outcome == "refuted"
                 for i in range(200))  # fmt: skip
    assert alarms <= 40  # mean <= 20, 40 is 4.7 standard deviations above: chance below 1e-5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        pytest.param(([], [0.0], [1]), "`sample` must have shape", id="no draws"),
        pytest.param(([np.nan], [0.0], [1]), "`sample` must be finite; got nan at index 0", id="nan"),
        pytest.param(([0.0], [1.0, 0.0], [1, 0]), "`support` must be strictly increasing", id="order"),
        pytest.param(([0.0], [0.0], [F(1, 2)]), "`probabilities` must sum to 1", id="sum"),
        pytest.param(([0.0], [0.0, 1.0], [2, -1]), r"`probabilities\[0\]` must be a number in \[0, 1\]", id="range"),
        pytest.param(([0.0], [0.0], [1], 0.0), r"`alpha` must be a number in \(0, 1\)", id="alpha"),
    ],
)
def test_dkw_refuses_its_arguments(args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        dkw(*args)
