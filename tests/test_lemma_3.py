"""Lemma 3 and B.2 in proofs_numeric/: verdicts on several seeds, witnesses by hand, the bound on drawn runs, planted errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Rational

from efcheck import content
from efcheck.bounds import LEMMA_3, Side
from efcheck.claims import Claim, collect
from efcheck.compressors import Blockwise, LowRank, OneBit, ScaledSign, TopK

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("lemma_3", "lemma_3_needs", "lemma_3_proof")
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}
FALSE = {"lemma-3-proof-display-random", "lemma-3-proof-series", "lemma-3-proof-last-equality", "lemma-3-proof-eta"}
FALSE |= {f"lemma-3-needs-{word}" for word in ("one-step-size", "domain", "expectation", "fresh-draws")}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    return lambda name: content.load(FOLDER / f"{name}.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in CLAIMS[id].audit().printed.evidence if e.outcome == "refuted"))


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
def test_lemma_3_has_its_verdict_on_every_seed(seed: int) -> None:
    result = CLAIMS["lemma-3"].audit(seed)
    outcomes = [e.outcome for form in result.forms for e in form.evidence if e.kind == "search"]
    assert result.as_expected and outcomes == ["supported", "supported"]


# --- witnesses, recomputed without efcheck's engine


def test_a_reduced_step_by_hand() -> None:
    data = data_of("lemma-3-needs-one-step-size")
    e1 = F(1) / 2
    e2 = (F(1, 100) + e1) / 2
    assert data["e"] == e2 == F(51, 200) and data["left"] == e2**2
    assert data["right"] == 4 * F(1, 4) * F(1, 100) ** 2 / F(3, 4) ** 2 < data["left"]


def test_sign_over_an_interval_by_hand() -> None:
    data = data_of("lemma-3-needs-domain")
    assert data["e"] == F(1, 100) - 1 and data["left"] == F(99, 100) ** 2 > data["right"] == F(16, 9) / 10**4
    assert all(4 * (1 - x) ** 2 <= x * x for x in (F(2, 3), F(1), F(2))) and 4 * (1 - F(13, 20)) ** 2 > F(13, 20) ** 2


@pytest.mark.parametrize("id", ["lemma-3-needs-expectation", "lemma-3-needs-fresh-draws"])
def test_an_entry_that_is_never_drawn_by_hand(id: str) -> None:
    data, e = data_of(id), F(0)
    for _ in range(5):
        e = e + 1  # the other entry is sent whole
    assert data["left"] == e**2 == 25 > data["right"] == 4 * F(1, 2) * 2 / F(1, 4) == 16


def test_the_series_of_b2_by_hand() -> None:
    witness = {name: F(value) for name, value in data_of("lemma-3-proof-series")["witness"].items()}
    d, eta = witness["delta"], witness["eta"]
    ratio, weight = (1 - d) * (1 + eta), (1 - d) * (1 + 1 / eta)
    assert ratio > 1 and weight > 0 > weight / (1 - ratio)


def test_the_last_equality_of_b2_by_hand() -> None:
    witness = {name: F(value) for name, value in data_of("lemma-3-proof-last-equality")["witness"].items()}
    d, eta = witness["delta"], witness["eta"]
    assert (1 - d) * (1 + 1 / eta) / (d - eta * (1 - d)) != 2 * (1 - d) * (1 + 1 / eta) / d


def test_the_sharp_constant_at_one_half_by_hand(module: Callable[[str], ModuleType]) -> None:
    m = module("lemma_3")
    at = [m.sharp(m.q**t).subs({m.q: Rational(1, 2), m.gamma: 1, m.sigma: 1}) for t in range(4)]
    e, by_hand = F(0), []
    for _ in range(4):
        by_hand.append(e**2)
        e = (e + 1) / 2
    assert [F(str(value)) for value in at] == by_hand == [0, F(1, 4), F(9, 16), F(49, 64)]


# --- the bound on drawn runs

DELTAS = st.floats(1e-3, 1.0)
SCALES = st.floats(1e-3, 1e3)


@given(DELTAS, SCALES, SCALES, st.integers(0, 60))
def test_the_gap_is_not_negative(delta: float, step: float, scale: float, t: int) -> None:
    m = content.load(FOLDER / "lemma_3.py")
    right = LEMMA_3.printed(delta=delta, gamma=step, sigma=scale)
    assert m.gap(delta, step, scale, t) >= -1e-12 * right  # 60 steps of two roundings each


@given(st.lists(st.tuples(DELTAS, SCALES, st.integers(0, 20)), min_size=1, max_size=5))
def test_the_gap_of_arrays_is_that_of_their_entries(rows: list[tuple[float, float, int]]) -> None:
    m = content.load(FOLDER / "lemma_3.py")
    delta, step, t = (np.array(column) for column in zip(*rows, strict=True))
    one_by_one = [m.gap(a, b, 2.0, c) for a, b, c in rows]
    assert np.array_equal(m.gap(delta, step, 2.0, t), np.array(one_by_one))


def test_the_gap_at_the_ends(module: Callable[[str], ModuleType]) -> None:
    gap = module("lemma_3").gap
    assert gap(0.5, 1.0, 1.0, 0) == 8.0 and gap(1.0, 3.0, 2.0, 7) == 0.0
    assert gap(0.75, 1.0, 1.0, 10**3) == pytest.approx(16 / 9 - 1, rel=1e-12)  # q = 1/2: 4 q^2/delta^2 - 1
    assert 0 < gap(1e-3, 1.0, 1.0, 10**5) / LEMMA_3.printed(delta=1e-3, gamma=1.0, sigma=1.0) < 1e-3


COMPRESSORS = {
    "scaled sign": ScaledSign(),
    "scaled sign, sign(0) = 0": ScaledSign(zero=0),
    "one-bit": OneBit(),
    "top-1": TopK(1),
    "top-3": TopK(3),
    "rank-1": LowRank(1, (2, 3)),
    "by layer": Blockwise(ScaledSign(), (1, 2, 3)),
}
ENTRY = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1, 1, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-6 else 0)
)
GRADIENTS = st.lists(st.lists(ENTRY, min_size=6, max_size=6), min_size=1, max_size=12)


@given(st.sampled_from(sorted(COMPRESSORS)), GRADIENTS, st.floats(1e-3, 1e3))
def test_drawn_gradients_keep_the_memory_below_the_bound(name: str, gradients: list[list[float]], step: float) -> None:
    """Any gradients, sigma = the largest norm; 1e-9 of the bound is far above the rounding of 12 steps."""
    c, e, g = COMPRESSORS[name], np.zeros(6), np.array(gradients)
    sigma, delta, squares = float(np.linalg.norm(g, axis=1).max()), c.delta(6), []
    assert delta is not None and LEMMA_3.sharp is not None
    for row in g:
        p = step * row + e
        e = p - c(p)
        squares.append(e @ e)
    limit = LEMMA_3.sharp(delta=delta, gamma=step, sigma=sigma, t=np.arange(1, len(g) + 1))
    assert (np.array(squares) <= limit * (1 + 1e-9) + 1e-18 * (step * sigma) ** 2).all()
    assert (limit <= LEMMA_3.printed(delta=delta, gamma=step, sigma=sigma) * (1 + 1e-12)).all()


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=4))
def test_drawn_gradients_keep_the_mean_below_the_bound_for_random_1(gradients: list[list[int]]) -> None:
    """E||e_T||^2 over all 3^T sequences of draws, in integers; delta = 1/3: 4 (2/3) 9 = 24."""
    total = 0
    for picks in product(range(3), repeat=len(gradients)):
        e = [0, 0, 0]
        for i, g in zip(picks, gradients, strict=True):
            e = [0 if j == i else a + b for j, (a, b) in enumerate(zip(e, g, strict=True))]
        total += sum(c * c for c in e)
    assert F(total, 3 ** len(gradients)) <= 24 * max(sum(c * c for c in g) for g in gradients)


def test_the_search_is_not_vacuous() -> None:
    evidence = [e for form in CLAIMS["lemma-3"].audit().forms for e in form.evidence if e.kind == "search"]
    assert evidence[0].data["margin"] < 0.2 and evidence[1].data["closest"] > 0.999


# --- planted errors


def smaller(factor: Any) -> Any:
    return replace(LEMMA_3, printed=Side(LEMMA_3.printed.left, LEMMA_3.printed.expression * factor))


def test_a_printed_constant_one_percent_too_small_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_3")
    monkeypatch.setattr(m, "LEMMA", smaller(Rational(99, 100)))
    assert verdicts("lemma-3") == ["refuted", "refuted"]
    monkeypatch.setattr(m, "LEMMA", smaller(Rational(1, 4)))
    assert m.the_worst_case_stays_below().outcome == "refuted"


def test_a_sharp_constant_that_is_too_small_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_3")
    assert LEMMA_3.sharp is not None
    wrong = replace(LEMMA_3, sharp=Side("", LEMMA_3.sharp.expression * Rational(99, 100)))
    monkeypatch.setattr(m, "LEMMA", wrong)
    assert verdicts("lemma-3-tight") == ["refuted"] and m.no_compressor_exceeds_it().outcome == "refuted"
    assert verdicts("lemma-3")[1] == "refuted"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_compressor_with_a_wrong_delta_is_caught(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    m = module("lemma_3")
    monkeypatch.setattr(m, "compressors", lambda d: iter([(TopK(1), 0.9)]))
    assert m.no_compressor_exceeds_it(seed).outcome == "refuted"


def test_a_memory_that_keeps_all_is_caught(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    m = module("lemma_3")
    monkeypatch.setattr(m, "grown", lambda now, new: now + m.gamma * new)  # C's contraction is lost
    assert verdicts("lemma-3") == ["refuted", "refuted"] and verdicts("lemma-3-tight") == ["refuted"]


def forgetful(gradient: Any, x0: Any, gammas: Any, compress: Any) -> Any:
    """Exact compressed SGD that reports no memory."""
    xs = [tuple(map(F, x0))]
    for t, gamma in enumerate(gammas):
        sent = compress(tuple(gamma * F(g) for g in gradient(t, xs[-1])))
        xs.append(tuple(a - b for a, b in zip(xs[-1], sent, strict=True)))
    return xs, [tuple(0 * c for c in x) for x in xs]


def test_without_a_memory_there_are_no_witnesses(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module("lemma_3_needs").exact, "ef_sgd", forgetful)
    for word in ("one-step-size", "domain", "expectation", "fresh-draws"):
        assert verdicts(f"lemma-3-needs-{word}")[0] == "supported"
    assert verdicts("lemma-3-needs-expectation")[1] == "refuted"  # ||e_s||^2 = s^2 is lost


def test_fresh_draws_are_told_from_a_kept_one(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    m = module("lemma_3_needs")
    mean = m.mean_square
    monkeypatch.setattr(m, "mean_square", lambda script, _: mean(script, product(range(2), repeat=len(script))))
    assert verdicts("lemma-3-needs-fresh-draws")[0] == "supported"


@pytest.mark.parametrize(
    ("attribute", "value", "ids"),
    [
        ("picked", lambda d: d / (3 * (1 - d)), ("eta", "conclusion", "last-equality")),
        ("weight", lambda d, y: (1 - d) * (1 + y), ("young", "best-eta")),
        ("factor", lambda d, y: (1 - d) * (1 + y / 2), ("young", "denominator", "best-eta")),
        ("last", lambda d, y: (1 - d) * (1 + 1 / y) / d, ("conclusion", "last-equality")),
        ("series", lambda d, y: 2 * (1 - d) / (d - y * (1 - d)), ("denominator", "best-eta", "last-equality")),
        ("partial_sum", lambda ratio, first, terms: ratio**terms, ("sum", "series")),
        ("kept_first", lambda p: (p[1] ** 2 + p[0] ** 2, p[0] ** 2), ("display-random",)),
    ],
    ids=["a smaller eta", "eta for 1/eta", "half eta", "last without 2", "wrong weight", "last power only", "wrong draw"],
)
def test_a_planted_error_in_b2_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any, ids: tuple[str, ...]
) -> None:
    m = module("lemma_3_proof")
    if attribute == "picked":
        monkeypatch.setattr(m, attribute, lambda d=m.delta: value(d))
    elif attribute in ("partial_sum", "kept_first"):
        monkeypatch.setattr(m, attribute, value)
    else:
        monkeypatch.setattr(m, attribute, lambda d=m.delta, y=m.eta: value(d, y))
    for id in ids:
        forms = CLAIMS[f"lemma-3-proof-{id}"].audit().forms
        assert any(form.verdict == "refuted" != form.expected for form in forms), id


def test_the_recorded_refutations_of_b2_vanish_with_their_hypotheses(module: Callable[[str], ModuleType]) -> None:
    m = module("lemma_3_proof")
    small = [m.delta < 1, m.eta <= m.delta / (2 * (1 - m.delta))]
    assert m.prove(m.weight() <= m.series(), small).outcome == "proved"
    assert m.prove(m.series() <= m.last(), small).outcome == "proved"
