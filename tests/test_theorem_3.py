"""Theorem III in proofs_numeric/: every verdict as expected, witnesses recomputed by hand, planted errors found."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sympy import Rational, Symbol

from efcheck import content
from efcheck.bounds import THEOREM_3, T, gamma, sigma
from efcheck.claims import collect
from efcheck.evidence import Evidence

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("theorem_3", "theorem_3_sharp")
theorem, sharp = (content.load(FOLDER / f"{name}.py") for name in NAMES)
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in CLAIMS[id].audit().printed.evidence if e.outcome == "refuted"))


def test_the_claims_have_the_prefix_of_the_theorem() -> None:
    assert all(id.startswith("theorem-3") for id in CLAIMS)
    assert len(CLAIMS) == sum(len(collect(FOLDER / f"{name}.py")) for name in NAMES) >= 13


# --- witnesses, recomputed without efcheck's engine


def test_average_witness_by_hand() -> None:
    data = data_of("theorem-3-average")
    xbar = F(10 + 10, 1)  # T = 1: two points over one
    assert data["left"] == abs(xbar - 10) - F(1, 2) == F(19, 2)
    assert data["right"] == 0 / F(4) + F(1, 2)


def test_conditional_witness_by_hand() -> None:
    data = data_of("theorem-3-proof-conditional")
    other = data["other"]
    assert F(10, 100) + F(99, 100) * other == 1  # E g_0 is the slope of |x| at 10
    assert F(100, 100) + F(99, 100) * other**2 == data["moment"] <= 2
    x, e = F(10) - F(10) / 2, F(10) / 2
    xt = x - e
    assert (x, xt) == (data["x"], data["xt"]) == (5, 0)
    left = (xt - 1) ** 2
    right = xt**2 + 2 - 2 * 1 * x + 4 * 2 * F(1, 2) / F(3, 4)
    assert left == data["left"] > right == data["right"]


def test_subgradient_witness_by_hand() -> None:
    data = data_of("theorem-3-proof-subgradient")
    p = 2 * F(1)
    x, e = 1 - p / 2, p - p / 2
    assert (data["x1"], data["xt1"]) == (x, x - e) == (0, -1)
    assert (x - e - 2) ** 2 > (x - e) ** 2 + 4 - 2 * 2 * (-1) * (x - e)


def test_convexity_witness_by_hand() -> None:
    data = data_of("theorem-3-proof-convexity")
    assert F(1, 3) * 2 + F(2, 3) * -1 == 0
    assert data["left"] == (F(1, 3) * 2 + F(2, 3) * 1) / 2 < data["path"] == F(2) / 2


@pytest.mark.parametrize("q", [F(1, 3), F(4, 5)])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_the_sharp_bound_is_attained_by_a_loop_in_plain_fractions(q: Fraction, steps: int) -> None:
    step, x, e, xs = F(1, steps), F(1), F(0), []
    for _ in range(steps):
        xs.append(x)
        p = step * (1 if x > 0 else -1) + e
        x, e = x - (1 - q) * p, q * p
    errors = [q * (1 - q**t) / (1 - q) for t in range(steps)]
    assert sum(xs) / steps == 1 / (2 * step * steps) + step * (F(1, 2) + sum(errors) / steps)
    assert sharp.exact_run(q, steps) == (sum(xs) / steps, sum(xs) / steps)


# --- planted errors


def test_the_right_average_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    right = theorem.at_rest
    monkeypatch.setattr(theorem, "at_rest", lambda points, divisor: right(points, divisor + 1))
    monkeypatch.setattr(theorem.instances, "again", lambda *_: Evidence("witness", "supported", "left out"))
    assert verdicts("theorem-3-average")[0] == "supported"


@pytest.mark.parametrize("share", [Rational(99, 100), Rational(1, 2)])
def test_a_smaller_noise_of_one_step_is_found(monkeypatch: pytest.MonkeyPatch, share: Any) -> None:
    right = theorem.step_noise
    monkeypatch.setattr(theorem, "step_noise", lambda size: share * right(size))
    assert verdicts("theorem-3") == ["refuted", "refuted"]


def test_a_wrong_index_or_sign_in_the_right_side_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = THEOREM_3.printed.expression
    for wrong in (whole.subs(T, T + 1), whole - 2 * gamma * sigma**2, whole * 2):
        monkeypatch.setattr(theorem, "PRINTED", wrong)
        assert verdicts("theorem-3") == ["refuted", "refuted"]


def test_a_step_that_forgets_the_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorem, "step_noise", lambda size: gamma**2 * sigma**2)
    assert theorem.a_step().outcome == "refuted"
    assert verdicts("theorem-3-sharp") == ["refuted"]


def test_the_standard_rate_at_delta_1_needs_the_right_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theorem, "NOISE", theorem.NOISE + 1)
    assert verdicts("theorem-3-proof-delta-0") == ["refuted", "refuted"]
    monkeypatch.setattr(theorem, "NOISE", Rational(1, 2) + 0 * Symbol("delta", positive=True))
    assert verdicts("theorem-3-proof-delta-0")[0] == "supported"


def test_a_typical_path_does_not_break_the_conditional_line(monkeypatch: pytest.MonkeyPatch) -> None:
    run = theorem.rare_gradient() | {"left": F(-4)}
    monkeypatch.setattr(theorem, "rare_gradient", lambda: run)
    assert verdicts("theorem-3-proof-conditional")[0] == "supported"


def test_an_index_shifted_in_the_error_norm_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sharp.error
    monkeypatch.setattr(sharp, "error", lambda w: right(w * sharp.q))
    assert verdicts("theorem-3-sharp") == ["refuted"]
    assert verdicts("theorem-3-unavoidable") == ["proved"]  # larger still


@pytest.mark.parametrize("factor", [Rational(99, 100), Rational(101, 100)])
def test_another_constant_is_not_attained(monkeypatch: pytest.MonkeyPatch, factor: Any) -> None:
    monkeypatch.setattr(sharp, "SHARP", sharp.SHARP * factor)
    assert verdicts("theorem-3-sharp-attained") == ["refuted"]


def test_a_wrong_closed_form_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sharp.error_sum
    monkeypatch.setattr(sharp, "error_sum", lambda n, w: right(n, w * sharp.q))
    assert verdicts("theorem-3-sharp") == ["refuted"]
