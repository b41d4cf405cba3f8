"""Assumptions A, B and C in proofs_numeric/: verdicts on several seeds, witnesses by hand, planted errors found."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efcheck import content
from efcheck.claims import Claim, collect
from efcheck.compressors import ScaledSign, TopK

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("assumption_a", "assumption_b", "assumption_c")
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}
FALSE = {"assumption-a-sign", "assumption-a-eigenvectors", "assumption-b-one-side", "assumption-c-variance"}
FALSE |= {"assumption-c-own-problems"}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    return lambda name: content.load(FOLDER / f"{name}.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_every_claim_has_its_expected_verdict(claim: Claim) -> None:
    result = claim.audit()
    assert result.as_expected, [(e.outcome, e.detail) for form in result.forms for e in form.evidence]
    assert result.printed.verdict == ("refuted" if claim.id in FALSE else "proved")
    assert result.repaired is None or result.repaired.verdict == "proved"


@pytest.mark.parametrize("name", NAMES)
def test_the_claims_of_a_file_carry_its_name(name: str) -> None:
    assert all(claim.id.startswith(name.replace("_", "-")) for claim in collect(FOLDER / f"{name}.py"))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_k_pca_has_its_verdict_on_every_seed(seed: int) -> None:
    assert CLAIMS["assumption-a-k-pca"].audit(seed).as_expected


# --- witnesses, recomputed without efcheck's engine


def test_sign_of_a_short_and_of_a_long_vector_by_hand() -> None:
    x = F(1, 4)
    assert (1 - x) ** 2 == 9 * x**2  # above (1 - delta) x^2 for every delta > 0
    long = F(1000)
    assert 1 - (1 - long) ** 2 / long**2 == F(1999, 10**6) < F(1, 500)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=5).filter(any), st.sampled_from([-1, 0, 1]))
def test_the_error_of_sign_depends_on_three_numbers(v: list[int], zero: int) -> None:
    signs = [(c > 0) - (c < 0) or zero for c in v]
    n = sum(s * s for s in signs)
    assert sum((s - c) ** 2 for s, c in zip(signs, v, strict=True)) == sum(c * c for c in v) - 2 * sum(map(abs, v)) + n


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=6).filter(any), st.integers(1, 6))
def test_top_k_leaves_at_most_its_share(v: list[int], k: int) -> None:
    rest = sorted(c * c for c in v)[: max(0, len(v) - k)]
    assert len(v) * sum(rest) <= max(0, len(v) - k) * sum(c * c for c in v)


def test_a_nilpotent_matrix_has_no_eigenvalue_but_zero() -> None:
    X = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert not np.linalg.eigvals(X).any() and np.linalg.svd(X)[1].tolist() == [1.0, 0.0]


def test_four_inequalities_in_numbers() -> None:
    """f = cos (L = 1), x = 0, y = 1: the four slacks are >= 0 and sum to ((y-x)^2 - (f'(y)-f'(x))^2)/2."""
    f, g = np.cos, lambda a: -np.sin(a)
    x, y = 0.0, 1.0
    v = g(y) - g(x)
    z, w = (x + y) / 2 - v / 2, (x + y) / 2 + v / 2

    def up(a: float, b: float) -> float:
        return float(f(a) + g(a) * (b - a) + (b - a) ** 2 / 2 - f(b))

    def down(a: float, b: float) -> float:
        return float(f(b) - f(a) - g(a) * (b - a) + (b - a) ** 2 / 2)

    slacks = [up(y, z), down(x, z), up(x, w), down(y, w)]
    assert min(slacks) >= 0 and sum(slacks) == pytest.approx(((y - x) ** 2 - v**2) / 2, rel=1e-12)


def test_moments_of_the_counterexamples_by_hand() -> None:
    a, b = (F(3, 2), F(-1, 2)), (F(-1, 2), F(3, 2))  # epsilon = 1/2
    x = (1, -1)
    moment = F(0)
    for row in (a, b):
        e = 2 * (row[0] * x[0] + row[1] * x[1])
        moment += (e * e * (row[0] ** 2 + row[1] ** 2)) / 2
    evidence = CLAIMS["assumption-c-own-problems"].audit().printed.evidence[0]
    assert evidence.data["moment"] == moment == 40 == 32 * (1 + F(1, 4))
    assert F(1, 4) * 16 + F(3, 4) * 1 == F(19, 4)


# --- planted errors


def test_a_sign_that_is_the_identity_has_no_witness(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("assumption_a")
    monkeypatch.setattr(m, "sign_of", lambda v, zero: v)
    assert m.a_short_vector().outcome == "supported"
    monkeypatch.setattr(m.exact, "sign", lambda c, zero: c)
    assert verdicts("assumption-a-sign")[0] == "supported"


@pytest.mark.parametrize(
    ("name", "attribute", "value", "id"),
    [
        ("assumption_a", "sign_error2", lambda a, b, n: b + 2 * a + n, "assumption-a-sign"),
        ("assumption_a", "sign_error2", lambda a, b, n: b - 2 * a, "assumption-a-sign"),
        ("assumption_a", "error2", lambda a, b: sum(c * c for c in b), "assumption-a-top-k"),
        ("assumption_a", "LowRank", lambda k, shape: TopK(k), "assumption-a-k-pca"),
        ("assumption_a", "largest", lambda values, key: (0, sum(c * c for c in values)), "assumption-a-eigenvectors"),
        ("assumption_a", "TopK", lambda k: ScaledSign(), "assumption-a-top-k"),
        ("assumption_b", "lower", lambda fa, ga, a, fb, b: fb - fa - ga * (b - a), "assumption-b-gradient"),
        ("assumption_b", "upper", lambda fa, ga, a, fb, b: fa + ga * (b - a) + (b - a) ** 2 - fb, "assumption-b-gradient"),
        ("assumption_c", "split", lambda second, mean: second + mean**2, "assumption-c-bounded-gradient"),
    ],
    ids=["sign +", "no n", "nothing kept", "top-1 for rank-1", "nothing of X", "scaled sign for top-k", "no curvature",
         "no L", "moments added"],
)  # fmt: skip
def test_a_planted_error_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, value: Any, id: str
) -> None:
    monkeypatch.setattr(module(name), attribute, value)
    assert verdicts(id)[-1] == "refuted"


def test_probes_at_twice_the_distance_prove_nothing(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("assumption_b")
    v = (m.gy - m.gx) / m.L
    monkeypatch.setattr(m, "probes", lambda: ((m.x + m.y) / 2 - v, (m.x + m.y) / 2 + v))
    assert verdicts("assumption-b-gradient") == ["refuted"]


def test_a_convex_function_is_no_witness_against_one_side(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("assumption_b")
    monkeypatch.setattr(m, "concave", lambda a, h: (m.L / 2 * h**2 - a / 2 * h**2, a * h))
    assert verdicts("assumption-b-one-side") == ["proved", "undecided"]


def test_bounded_gradients_are_no_witness_against_c(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("assumption_c")
    monkeypatch.setattr(m, "square_function", lambda x: (0 * x, m.sigma**2 + 0 * x))
    assert verdicts("assumption-c-variance")[0] == "supported"
    monkeypatch.setattr(m, "third", lambda x1, x2, e: m.sigma**2)
    assert verdicts("assumption-c-own-problems") == ["supported", "undecided"]


def test_a_huber_function_that_is_too_steep_does_not_meet_b(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("assumption_c")
    least = m.Min
    monkeypatch.setattr(m, "Min", lambda a, x: least(a, 2 * x))
    assert verdicts("assumption-c-possible") == ["refuted"]
