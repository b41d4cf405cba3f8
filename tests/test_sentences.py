"""Sentences with "same rate", "always", "for free", "identical": witnesses by hand, planted errors change the verdicts."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from sympy import Rational, sqrt

from efcheck import content
from efcheck.bounds import REMARK_6, T, delta
from efcheck.claims import Claim, collect
from efcheck.evidence import Evidence

FOLDER = Path(__file__).parents[1] / "proofs_numeric"
sentences, adam = (content.load(FOLDER / f"{name}.py") for name in ("sentences", "adam"))
CLAIMS = {claim.id: claim for name in ("sentences", "adam") for claim in collect(FOLDER / f"{name}.py")}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


# --- the same rate, for free


def test_delta_in_the_leading_term_is_not_the_same_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "SMOOTH", sentences.SMOOTH + (1 - delta) / sqrt(T + 1))
    assert verdicts("sentence-same-rate") == ["refuted", "refuted"]


def test_another_power_of_T_is_not_the_same_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "SMOOTH", sentences.SMOOTH * (T + 1) ** Rational(1, 4))
    assert verdicts("sentence-same-rate")[0] == "refuted"


def test_the_printed_convex_rate_is_not_that_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "CONVEX", REMARK_6.printed.expression)
    assert verdicts("sentence-same-rate") == ["proved", "refuted"]


def test_a_theorem_that_fails_takes_the_sentences_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Claim("theorem-2", "Section 4", "x <= 1", repaired="x <= 2")
    broken.repaired(lambda: Evidence("exact", "refuted", "x = 3"))
    monkeypatch.setattr(sentences.theorem_2, "theorem", broken)
    assert verdicts("sentence-same-rate")[0] == verdicts("sentence-always")[0] == "refuted"
    assert verdicts("sentence-arbitrary")[1] == "refuted"


def test_for_free_by_hand() -> None:
    """(3, 1) - 2 (1, 1) = (1, -1) with memory (1, -1); p = (2, -2) is sent whole; x = (-1, 1) with memory 0; then 0."""
    assert sentences.gradients(sentences.exact.scaled_sign)[:4] == [10, 2, 2, 0]
    assert sentences.gradients(lambda p: p)[:2] == [10, 0]


def test_a_start_with_equal_entries_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "START", (2, 2))
    assert verdicts("sentence-for-free") == ["supported", "refuted"]


# --- always


def test_a_bound_that_does_not_vanish_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMOOTH", "CONVEX"):
        with monkeypatch.context() as patch:
            patch.setattr(sentences, name, getattr(sentences, name) + delta)
            assert verdicts("sentence-always")[0] == "refuted"


def test_a_swing_that_settles_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "swing", lambda compress, T: [Fraction(1, 4 + t) for t in range(T + 1)])
    assert verdicts("sentence-always")[1] == "refuted"


def test_the_means_of_the_swing_by_hand() -> None:
    xs = sentences.swing(lambda p: p, 20)
    assert min(abs(sum(xs[: t + 1])) / (t + 1) for t in range(21)) == Fraction(1, 12)


def test_a_compressor_in_place_of_the_sign_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "signed", lambda zero: lambda p: p)
    assert verdicts("sentence-arbitrary")[0] == "supported"


# --- epochs


def test_epochs_by_hand() -> None:
    assert (ceil(1 / 0.13**2), ceil(1 / 0.13**4), ceil(50_000 / 128), ceil(3502 / 391)) == (60, 3502, 391, 9)


@pytest.mark.parametrize(("name", "value"), [("DENSITY", Fraction(1, 100)), ("EPOCH", 10)])
def test_a_sparse_gradient_or_a_short_epoch_is_refuted(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, name, value)
    assert verdicts("sentence-first-epochs") == ["refuted", "refuted"]


# --- ADAM


def test_adam_by_hand() -> None:
    """beta = 1/2, g = 5, 1: m = (5 + 2 * 1)/3 = 7/3, v = (25 + 2 * 1)/3 = 9."""
    assert adam.adam_squared([5, 1], Fraction(1, 2)) == [1, Fraction(7, 3) ** 2 / 9]


def test_adam_with_equal_gradients_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    right = adam.adam_squared
    monkeypatch.setattr(adam, "adam_squared", lambda gradients, beta: right([5, 5], beta))
    assert verdicts("adam-identical")[0] == "supported"


@pytest.mark.parametrize("beta", [Fraction(1, 3), Fraction(9, 10)])
def test_adam_keeps_to_the_repaired_statement_on_many_gradients(beta: Fraction) -> None:
    for script in ([1, 2, 3, -4], [-1, -1, -1, -1], [2, -2, 2, 2], [7, 0, 0, 1]):
        squared, signs = adam.adam_squared(script, beta), adam.momentum_signs(script, beta)
        assert all(s <= 1 for s in squared) and all((s == 0) == (b == 0) for s, b in zip(squared, signs, strict=True))
        equal = [len(set(script[: t + 1])) == 1 for t in range(4)]
        assert [s == 1 for s in squared] == equal


def test_adam_with_a_wrong_sign_of_the_momentum_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adam, "sgn", lambda g: -g / abs(g))
    assert verdicts("adam-identical")[1] == "refuted"
