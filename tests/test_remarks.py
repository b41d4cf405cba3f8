"""Remarks 4, 5 and 6 in proofs_numeric/: every verdict as expected, witnesses recomputed by hand, planted errors found."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sympy import Rational

from efcheck import content
from efcheck.bounds import REMARK_4, REMARK_5, REMARK_5_PLAIN, REMARK_6, REMARK_6_SGD, L, T, f0, sigma
from efcheck.claims import collect

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("remark_4", "remark_5", "remark_6")
remark_4, remark_5, remark_6 = (content.load(FOLDER / f"{name}.py") for name in NAMES)
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in CLAIMS[id].audit().printed.evidence if e.outcome == "refuted"))


def test_every_file_has_claims_of_its_own_prefix() -> None:
    for name in NAMES:
        assert all(claim.id.startswith(name.replace("_", "-")) for claim in collect(FOLDER / f"{name}.py"))
    assert len(CLAIMS) >= 23


# --- witnesses, recomputed without efcheck's engine


def clip(x: Fraction) -> Fraction:
    return max(F(-1), min(F(1), x))


def test_remark_4_witness_recomputed_from_its_data() -> None:
    """f(x) = L x^2/2 for |x| <= 1/L, |x| - 1/(2L) beyond; the messages are those of theorem-2 over L."""
    data = data_of("remark-4")
    step, ell, d, x, e, steps = data["gamma"], data["L"], data["delta"], data["x0"], F(0), data["T"] + 1
    assert step**2 * steps == 1
    start, sent = abs(x) - 1 / (2 * ell), {}
    for _ in range(steps):
        assert clip(ell * x) ** 2 == 1
        p = step * clip(ell * x) + e
        memory = (p - 2 / ell * (1 if p > 0 else -1)) if abs(ell * x) == 1 else p / 14
        assert memory**2 <= (1 - d) * p**2 and sent.setdefault(p, memory) == memory
        x, e = x - (p - memory), memory
    root = F(1) / step
    right = (4 * start + ell) / (2 * root) + 4 * ell**2 * (1 - d) / (d**2 * steps)
    assert 1 > right == data["right"]


def test_negligible_witness_by_hand() -> None:
    for c in (1, 9, 99):
        d = F(1, 1 + c)
        root = c / d
        first = (4 * F(1, 4) + 1) / (2 * root)
        assert 4 * (1 - d) / (d**2 * root**2) == 4 * first
    assert data_of("remark-4-negligible")["ratio"] == 4


def test_remark_5_witnesses_by_hand() -> None:
    k = F(data_of("remark-5")["witness"]["k"])
    assert k >= 1 and 4 * k * (k - 1) > 2 * k**2
    for run in data_of("remark-5-plain")["runs"]:
        root = 1 / run["gamma"]
        assert root**2 == run["T"] + 1
        last = 1 + run["T"] * run["gamma"] - run["T"] * run["gamma"]
        assert last == 1 and run["f0"] == 1 + run["T"] * run["gamma"] - F(1, 2)
        assert 1 > (run["f0"] + 1) / (2 * root) == run["right"]


def test_remark_6_witness_by_hand() -> None:
    run = data_of("remark-6")["runs"][0]
    q = run["q"]
    assert run["delta"] == 1 - q**2 and q == F(1, 2)
    m, n = 1 + 4 * q / (1 - q**2), run["T"] + 1
    assert run["R2"] == n * m and run["right"] == m / 2 and (n - 1) ** 2 < n * m
    e = [F(0), q * 1, q * (q + 1)]  # x_t = R - t + e_t
    assert run["shift"] == sum(t - e[t] for t in range(3)) / 3
    root = F(33166, 10000)
    assert root**2 < run["R2"] and root - run["shift"] > run["right"]


def test_the_maximum_function_resists_a_loop_in_plain_fractions() -> None:
    for step in (F(1, 7), F(3)):
        n = 5
        x = [F(0)] * n
        total = [F(0)] * n
        for _ in range(n):
            total = [a + b for a, b in zip(total, x, strict=True)]
            x[x.index(max(x))] -= step
        assert max(total) == 0 and remark_6.resisting(n - 1, step, remark_6.whole)[0] == 0


# --- planted errors: remark 4


def test_remark_4_repaired_as_printed_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_4, "REPAIRED", REMARK_4.printed.expression)
    assert verdicts("remark-4")[1] == "refuted"
    assert verdicts("remark-4-footnote") == ["refuted", "refuted"]


def test_remark_4_with_the_repaired_constant_has_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_4, "PRINTED", REMARK_4.repaired.expression)
    assert verdicts("remark-4")[0] == "supported"
    assert verdicts("remark-4-footnote")[0] == "proved"


def test_remark_4_for_sgd_with_a_percent_less_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_4, "SGD", remark_4.SGD * Rational(99, 100))
    assert verdicts("remark-4-sgd") == ["refuted"]
    assert verdicts("remark-4-footnote")[1] == "refuted"


def test_remark_4_with_delta_in_the_leading_term_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_4, "PRINTED", REMARK_6.printed.expression)
    assert verdicts("remark-4-higher-order")[0] == "refuted"


def test_remark_4_negligible_for_a_second_term_with_one_over_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_4, "K", remark_4.K * remark_4.delta)
    assert verdicts("remark-4-negligible")[0] == "undecided"


# --- planted errors: remark 5


def test_remark_5_with_four_k_squared_is_no_longer_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_5, "REPAIRED", REMARK_5.printed.expression)
    assert verdicts("remark-5")[1] == "refuted"
    monkeypatch.setattr(remark_5, "PRINTED", REMARK_5.repaired.expression)
    assert verdicts("remark-5")[0] == "undecided"  # 2 k^2 is no longer what is printed


def test_remark_5_plain_with_its_factor_has_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_5, "PLAIN", REMARK_5_PLAIN.repaired.expression)
    assert verdicts("remark-5-plain")[0] == "supported"
    monkeypatch.setattr(remark_5, "PLAIN_REPAIRED", REMARK_5_PLAIN.printed.expression)
    assert verdicts("remark-5-plain")[1] == "refuted"


def test_remark_5_slower_holds_without_f0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_5, "PLAIN", REMARK_5_PLAIN.printed.expression.subs(f0, 0))
    assert verdicts("remark-5-slower")[0] == "proved"


def test_remark_5_with_k_in_the_leading_term_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_5, "PRINTED", REMARK_5_PLAIN.repaired.expression)
    assert verdicts("remark-5-higher-order")[0] == "refuted"


def test_remark_5_better_with_a_wrong_sign_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    k = remark_5.k
    monkeypatch.setattr(
        remark_5, "PLAIN_REPAIRED", REMARK_5_PLAIN.repaired.expression - L * k * sigma**2 / (T + 1) ** Rational(1, 2)
    )
    assert verdicts("remark-5-better")[1] == "refuted"


# --- planted errors: remark 6


def test_remark_6_repaired_with_another_constant_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (REMARK_6.printed.expression, REMARK_6.repaired.expression * Rational(101, 100)):
        monkeypatch.setattr(remark_6, "REPAIRED", wrong)
        assert verdicts("remark-6")[1] == "refuted"
        assert verdicts("remark-6-sgd")[1] == "refuted"


def test_remark_6_for_sgd_with_the_repaired_rate_has_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_6, "PRINTED_SGD", REMARK_6_SGD.repaired.expression)
    assert verdicts("remark-6-sgd")[0] == "supported"
    assert verdicts("remark-6-max") == ["undecided"]


def test_remark_6_with_the_least_value_as_printed_has_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_6, "PRINTED", REMARK_6.repaired.expression)
    right = remark_6.scaled_run
    monkeypatch.setattr(
        remark_6,
        "scaled_run",
        lambda q: right(q) | {"above": right(q)["R2"] > (2 * right(q)["right"] + right(q)["shift"]) ** 2},
    )
    assert verdicts("remark-6")[0] == "supported"


def test_remark_6_with_an_oracle_that_does_not_resist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_6, "first_largest", lambda x, n: (F(1, n),) * len(x))
    assert verdicts("remark-6-max") == ["refuted"]
    assert verdicts("remark-6-sgd")[1] == "undecided"


def test_remark_6_with_sign_of_zero_one_every_entry_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remark_6, "scaled_sign", lambda p: remark_6.exact.scaled_sign(p, zero=1))
    assert verdicts("remark-6-max") == ["refuted"]
