"""The grid of A.3, Table 2 and the scaling with the batch size: altered numbers and rules change the verdicts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcheck import content
from efcheck.claims import collect

FILE = Path(__file__).parents[1] / "proofs_numeric" / "step_sizes.py"
steps = content.load(FILE)
CLAIMS = {claim.id: claim for claim in collect(FILE)}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def test_the_list_by_floating_point() -> None:
    assert [f"{v:.1e}" for v in np.logspace(-5, 1, 9)] == [f"{float(word):.1e}" for word in steps.LISTED]


@pytest.mark.parametrize("k", range(9))
def test_another_digit_in_the_list_is_refuted(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    digits, exponent = steps.LISTED[k].split("e")
    other = f"{float(digits) + 0.1:.1f}e{exponent}"
    monkeypatch.setattr(steps, "LISTED", (*steps.LISTED[:k], other, *steps.LISTED[k + 1 :]))
    assert verdicts("step-size-grid")[0] == "refuted"


@pytest.mark.parametrize(("name", "value"), [("COUNT", 8), ("COUNT", 10), ("LOW", -6), ("HIGH", 2)])
def test_another_grid_is_refuted(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, name, value)
    assert verdicts("step-size-grid") == ["refuted", "refuted"]


def test_three_digits_or_a_missing_value_are_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not steps.rounds_to("5.62e-5", 1) and steps.rounds_to("5.6e-5", 1)
    monkeypatch.setattr(steps, "LISTED", steps.LISTED[:-1])
    assert verdicts("step-size-grid")[0] == "refuted"


@pytest.mark.parametrize(("rate", "expected"), [("5.0e-2", ["refuted", "refuted"]), ("1.0e1", ["proved", "refuted"])])
def test_a_rate_off_or_at_the_end_of_the_grid(rate: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.printed.RATES, "EF-SIGNSGD", (rate, "5.6e-2"))
    assert verdicts("step-size-table") == expected
    assert verdicts("step-size-isolate") == ["refuted"]


def test_a_rate_two_steps_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.printed.RATES, "EF-SIGNSGD", ("1.0e-2", "5.6e-2"))
    assert verdicts("step-size-momentum") == ["refuted"]


def test_another_divisor_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "DIVISORS", {32: 4, 8: 8})
    assert verdicts("step-size-scaling") == ["refuted"]


def test_the_scaling_example_by_hand() -> None:
    """Parts 4, -1, -1, -1 of Counterexample 1: signs 1, -1, -1, -1 in steps of 1/4 against the sign of the mean 1/4."""
    assert steps.pair(steps.ONE, "SIGNSGD") == ((-Fraction(1 - 3, 4),), (Fraction(-1),))
    assert steps.pair(steps.ONE, "SGD") == ((Fraction(-1, 4),), (Fraction(-1, 4),))
    l1, parts = [4, 2, 2, 3], [(1, 1), (-1, 1), (-1, 1), (-1, 1)]
    total = tuple(-sum(Fraction(n, 2) * s[i] for n, s in zip(l1, parts, strict=True)) / 4 for i in range(2))
    assert steps.pair(steps.TWO, "scaled SIGNSGD")[0] == total == (Fraction(3, 8), Fraction(-11, 8))


def test_equal_gradients_are_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ONE", ((1,),) * 4)
    monkeypatch.setattr(steps, "TWO", ((2, 1),) * 4)
    assert verdicts("step-size-linear") == ["supported", "refuted"]


def test_a_feedback_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = steps.travel

    def forgetful(parts: Any, method: str) -> Any:
        return right(parts, "scaled SIGNSGD" if method == "EF-SIGNSGD" else method)

    monkeypatch.setattr(steps, "travel", forgetful)
    assert verdicts("step-size-linear")[1] == "refuted"
