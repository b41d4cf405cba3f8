"""Theorem II in proofs_numeric/: every verdict as expected, witnesses recomputed by hand, planted errors found."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcheck import content
from efcheck.bounds import L, T, delta, f0, gamma, sigma
from efcheck.claims import collect
from efcheck.evidence import Evidence

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("theorem_2", "theorem_2_constant", "theorem_2_proof")
MODULES = {name: content.load(FOLDER / f"{name}.py") for name in NAMES}
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}
statement, constant, lines = (MODULES[name] for name in NAMES)
huber = statement.huber


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def data_of(id: str) -> dict[str, Any]:
    return dict(next(e.data for e in CLAIMS[id].audit().printed.evidence if e.outcome == "refuted"))


def test_every_file_has_claims_of_its_own_prefix() -> None:
    for name in NAMES[1:]:
        assert all(claim.id.startswith(name.replace("_", "-")) for claim in collect(FOLDER / f"{name}.py"))
    assert len(CLAIMS) == sum(len(collect(FOLDER / f"{name}.py")) for name in NAMES) >= 21


def test_no_check_depends_on_a_seed_and_the_scan_finds_the_same_again() -> None:
    checks = [c for claim in CLAIMS.values() for c in claim.printed_checks + claim.repaired_checks]
    assert not any("seed" in c.__code__.co_varnames[: c.__code__.co_argcount] for c in checks)
    assert data_of("theorem-2") == data_of("theorem-2")


# --- witnesses, recomputed without efcheck's engine


def clip(x: Fraction) -> Fraction:
    return max(F(-1), min(F(1), x))


def test_theorem_2_witness_recomputed_from_its_data() -> None:
    data = data_of("theorem-2")
    step, d, x, e, messages = data["gamma"], data["delta"], data["x0"], F(0), data["messages"]
    start = abs(x) - F(1, 2)
    assert abs(x) >= 1 and 0 < d < 1
    for p, sent in messages.items():
        assert (sent - p) ** 2 <= (1 - d) * p**2
    least = F(10)
    for t in range(500):  # far beyond the T of the witness; the messages are a map, so that this is Algorithm 2
        least = min(least, clip(x) ** 2)
        p = step * clip(x) + e
        x, e = x - messages[p], p - messages[p]
        right = 2 * start / (step * (t + 1)) + step / 2 + 4 * step**2 * (1 - d) / d**2
        assert (least > right) == (t >= data["T"])
    assert least == 1 and data["T"] < 50


def test_index_witness_recomputed_from_its_data() -> None:
    data = data_of("theorem-2-index")
    q, step = data["share"], data["gamma"]
    ends = [-(1 + q) * step * g for g in (1, -1)]
    assert sum(clip(x) ** 2 for x in ends) / 2 == 1
    assert 1 > step + 4 * step**2 * q**2 / (1 - q**2) ** 2 == data["right"]


def test_conditional_witness_recomputed_by_hand() -> None:
    data = data_of("theorem-2-proof-conditional")
    chance, large, other, step, q = F(1, 400), F(20), data["other"], F(1, 10), F(1, 2)
    assert chance * large + (1 - chance) * other == clip(F(2)) == 1
    assert chance * large**2 + (1 - chance) * other**2 <= 2
    p = step * large
    x, e = 2 - p * q, p * q
    assert (x, x - e, e) == (1, 0, 1)
    left = (x - e - step * clip(x)) ** 2 / 2
    right = -step / 2 + step**2 * 2 / 2 + step**3 * 2 / 2 * 4 * q**2 / (1 - q**2) ** 2
    assert left == data["left"] > right == data["right"]


def test_huber_has_slope_and_curvature_one() -> None:
    xs = [F(i, 7) for i in range(-30, 31)]
    for a in xs:
        for b in xs:
            off = huber.value(b) - huber.value(a) - huber.exact_slope(a) * (b - a)
            assert abs(off) <= (b - a) ** 2 / 2 and abs(huber.exact_slope(a)) <= 1


# --- the scan


def test_the_first_hits_of_the_scan_violate_assumption_a_and_c_nowhere() -> None:
    hits = list(huber.violations(statement.PRINTED))
    assert len(hits) >= 5 and hits[0][0] == min(first for first, _ in hits)
    for first, found in hits:
        assert all(abs(p - sent) <= found.share * abs(p) for p, sent in found.messages.items())
        assert found.least(first) > found.right(statement.PRINTED, first)
        assert first == 0 or found.least(first - 1) <= found.right(statement.PRINTED, first - 1)


def test_the_scan_in_floats_is_the_run_on_fractions() -> None:
    ratio, points = huber.scan(statement.PRINTED, 20), huber.grid()
    for i in range(0, len(points), 311):
        found = huber.rebuild(*points[i], 20)
        if found is not None:
            exact = [float(found.least(t) / found.right(statement.PRINTED, t)) for t in range(21)]
            np.testing.assert_allclose(ratio[:, i], exact, rtol=1e-9)


@pytest.mark.parametrize("wrong", ["no memory", "wrong side"])
def test_the_scan_finds_nothing_without_the_overshoot(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    right = huber.memory
    planted = {"no memory": lambda q, p, v: 0 * p, "wrong side": lambda q, p, v: -right(q, p, v)}
    monkeypatch.setattr(huber, "memory", planted[wrong])
    monkeypatch.setattr(statement.instances, "again", lambda *_: Evidence("witness", "supported", "left out"))
    assert verdicts("theorem-2")[0] == "supported"
    assert verdicts("theorem-2-constant-sgd")[0] == "supported"


def test_what_only_the_floats_find_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    right = huber.memory
    monkeypatch.setattr(huber, "memory", lambda q, p, v: right(3 * q, p, v))  # not within Assumption A
    assert (huber.scan(statement.REPAIRED, 60) > 1).any()
    assert list(huber.violations(statement.REPAIRED)) == []


def test_the_scan_finds_nothing_against_the_repaired_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "PRINTED", statement.REPAIRED)
    assert verdicts("theorem-2")[0] == "supported"


# --- planted errors


@pytest.mark.parametrize("share", [F(99, 100), F(101, 100)])
def test_the_constant_that_the_proof_gives_is_found_to_a_percent(monkeypatch: pytest.MonkeyPatch, share: Fraction) -> None:
    noise = gamma * L * sigma**2
    monkeypatch.setattr(statement, "REPAIRED", statement.REPAIRED + (share - 1) * noise)
    outcome = statement.rho_one_gives_the_bound().outcome
    assert outcome == ("refuted" if share < 1 else "proved")


def test_the_index_t_instead_of_t_plus_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "REPAIRED", statement.REPAIRED.subs(T, T + 1))
    assert verdicts("theorem-2")[1] == "refuted"


def test_half_the_noise_of_one_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "noise", lambda r, m: L * gamma**2 * sigma**2 / 4 + gamma * L**2 * m / (2 * r))
    assert verdicts("theorem-2")[1] == "refuted"


def test_young_without_its_two_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "noise", lambda r, m: L * gamma**2 * sigma**2 / 2 + gamma * L**2 * m / (4 * r))
    assert statement.one_step().outcome == "refuted"


def test_theorem_2_at_the_ends_needs_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "PRINTED", statement.PRINTED - gamma * L * sigma**2 / 4)
    assert verdicts("theorem-2-T-0") == ["refuted"]
    assert verdicts("theorem-2-delta-1")[0] == "refuted"


def test_index_needs_an_overshoot(monkeypatch: pytest.MonkeyPatch) -> None:
    exact_slope = huber.exact_slope
    monkeypatch.setattr(huber, "exact_slope", lambda x: exact_slope(x / 2))
    monkeypatch.setattr(statement.instances, "again", lambda *_: Evidence("witness", "supported", "left out"))
    assert verdicts("theorem-2-index")[0] == "supported"


def test_a_lost_four_or_a_wrong_index_in_the_last_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lines.with_rho
    monkeypatch.setattr(lines, "with_rho", lambda r, n: right(r, n - 1))
    assert verdicts("theorem-2-proof-rho-1")[1] == "refuted"
    monkeypatch.setattr(lines, "with_rho", right)
    monkeypatch.setattr(lines, "K", lines.K / 4)
    assert verdicts("theorem-2-proof-rho-1")[1] == "refuted"
    assert verdicts("theorem-2-proof-average")[1] == "proved"  # smaller on both sides: division alone is consistent


def test_rho_one_as_printed_would_be_proved_with_half_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lines.with_rho
    monkeypatch.setattr(lines, "with_rho", lambda r, n: right(r, n) - L * gamma * sigma**2 / 2)
    assert verdicts("theorem-2-proof-rho-1") == ["proved", "refuted"]


def test_a_typical_path_does_not_break_the_conditional_line(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lines.rare_gradient
    monkeypatch.setattr(lines, "rare_gradient", lambda q, h: right(q, h) | {"left": F(-1)})
    assert verdicts("theorem-2-proof-conditional")[0] == "supported"


@pytest.mark.parametrize("share", [constant.s, (1 - constant.s) / 2])
def test_another_contraction_has_no_such_orbit(monkeypatch: pytest.MonkeyPatch, share: Any) -> None:
    monkeypatch.setattr(constant, "SHARE", share)
    assert verdicts("theorem-2-constant-orbit") == ["refuted"]
    assert constant.it_is_attained().outcome == "refuted"


def test_an_index_shifted_in_the_error_norm_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = constant.error
    monkeypatch.setattr(constant, "error", lambda w: right(w * constant.share))
    assert verdicts("theorem-2-constant-sharp") == ["refuted"]


def test_a_wrong_closed_form_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = constant.square_sum
    monkeypatch.setattr(constant, "square_sum", lambda n, w: right(n, w) * n / (n + 1))
    assert verdicts("theorem-2-constant-sharp") == ["refuted"]


def test_the_limits_follow_from_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    s = F(67, 80)
    q = (1 - s) / (1 + s)
    at = {T: 10**12, gamma: 2 * s, L: 1, sigma: 1, f0: 1, delta: 1 - q**2}
    values = {a: float(b) for a, b in at.items()}
    assert 1.079 < 1 / float(statement.PRINTED.subs(values)) < 1.0792
    assert float(statement.REPAIRED.subs(values)) > 1
