"""counterexamples/theorem_1*.py and benign.py: witnesses by hand, planted errors found, simulated claims on several seeds."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise, product
from math import erf
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sympy import Symbol

from efcheck import content
from efcheck.claims import collect
from efcheck.methods import EFSGD, CompressedSGD
from efcheck.problems import SignAligned

F = Fraction
FOLDER = Path(__file__).parents[1] / "counterexamples"
NAMES = ("theorem_1", "theorem_1_feedback", "theorem_1_scope", "theorem_1_steps", "benign")
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}


def module(name: str) -> Any:
    return content.load(FOLDER / f"{name}.py")


@pytest.fixture
def aligned() -> ModuleType:
    return content.load(FOLDER / "_aligned.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_cheap_parts_of_the_simulated_claims_hold_on_every_seed(seed: int) -> None:
    feedback = module("theorem_1_feedback")
    assert feedback.survey(2, False, seed).outcome == "supported"
    assert feedback.survey(10, True, seed).outcome == "supported"
    assert feedback.losses_with_minima_of_their_own_need_smaller_steps(seed).outcome == "supported"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exact_runs_stay_on_the_line_on_every_seed(seed: int) -> None:
    assert CLAIMS["theorem-1-line"].audit(seed).as_expected


# --- witnesses, recomputed without efcheck's engine


@pytest.mark.parametrize("zero", [1, -1])
@pytest.mark.parametrize("id", ["theorem-1", "theorem-1-necessary"])
def test_the_witness_is_a_path_of_signsgd_to_the_optimum_of_a_member(id: str, zero: int) -> None:
    pieces = [check() for check in CLAIMS[id].printed_checks]
    data = next(e.data for e in pieces if e.outcome == "refuted" and e.covers == f"zero={zero}")
    path = [tuple(x) for x in data["path"]]
    (a, b), (c, d) = (F(1), F(-1)), (F(2), F(-1))  # signs +s, s = (1, -1), determinant 1: f = <a_1,x>^2 + <a_2,x>^2
    assert a * d - b * c == 1
    assert path[0][0] + path[0][1] != 0  # off R s
    assert path[-1] == (0, 0)
    for x, y in pairwise(path):
        g = [2 * (a * x[0] + b * x[1]) * a, 2 * (a * x[0] + b * x[1]) * b]  # i = 1 in each step
        sign = [zero if h == 0 else 1 if h > 0 else -1 for h in g]
        moves = [(p - q) / s for p, q, s in zip(x, y, sign, strict=True)]
        assert moves[0] == moves[1] >= 0  # one step size for both coordinates
    assert data["share"] == 1 - F(1, 128)  # both i lead to (2, 2) at t = 0; then one draw of i = 1 among seven is needed


def test_the_witness_is_a_certified_member_of_the_family(aligned: ModuleType) -> None:
    problem = SignAligned([[float(q) for q in row] for row in aligned.ROWS], x_star=[0.0, 0.0])
    assert problem.unique and problem.s.tolist() == [1, -1]


def test_a_start_on_the_line_is_solved_by_hand() -> None:
    for c, (a, b) in product((1, 2, 3), ((1, -1), (2, -1))):
        slope = 2 * (a * c - b * c)  # at (c, -c)
        assert slope * a > 0 > slope * b
        assert (c - c * 1, -c - c * -1) == (0, 0)


def test_the_loss_that_is_not_convex_has_the_derivative_that_is_used(aligned: ModuleType) -> None:
    r = Symbol("r", real=True)
    loss = r**2 / (1 + r**4)
    assert (loss.diff(r) - aligned.rational_bump(r)).simplify() == 0
    x, values = [F(3), F(-1)], []
    for _ in range(20):
        slopes = [aligned.rational_bump(a * x[0] + b * x[1]) for a, b in aligned.ROWS]
        assert all(h * a < 0 < h * b for h, (a, b) in zip(slopes, aligned.ROWS, strict=True))
        x = [x[0] + 1, x[1] - 1]  # gamma = 1, both draws
        values.append(float(sum(loss.subs(r, a * x[0] + b * x[1]) for a, b in aligned.ROWS)))
    assert values == sorted(values, reverse=True) and values[-1] < 1e-3
    assert sum(x) == 2


def test_the_full_batch_solves_counterexample_3_by_hand() -> None:
    x = [F(2), F(1)]
    for gamma in (F(1, 2), F(3, 2)):
        rows = [(F(3, 2), F(-1, 2)), (F(-1, 2), F(3, 2))]
        g = [sum(2 * (a[0] * x[0] + a[1] * x[1]) * a[j] for a in rows) for j in (0, 1)]
        assert all(g)
        x = [p - gamma * (1 if q > 0 else -1) for p, q in zip(x, g, strict=True)]
    assert x == [0, 0]


def test_the_rows_of_every_dimension_have_full_rank() -> None:
    for d in (2, 3, 7, 40):
        assert np.linalg.det(np.ones((d, d)) + np.eye(d)) == pytest.approx(d + 1)


def test_in_three_dimensions_no_convention_leaves_the_plane(aligned: ModuleType) -> None:
    """s = (1, 1, -1): x_1 - x_2 stays under every sign(0), also where the slope vanishes, and x_1 + x_3 need not."""
    rows, x0 = ((F(1), F(1), F(-2)), (F(2), F(1), F(-3))), (F(2), F(1), F(1))
    left = False
    for zero, picks in product((-1, 1), product((0, 1), repeat=4)):
        gradient = aligned.fractional(rows, aligned.SLOPES["squared"], picks)
        onto = module("theorem_1_steps").exact.sign_sgd(
            gradient, x0, lambda t, x, g: abs(x[0] + x[1] - 2 * x[2]) / 4 if any(g) else F(1), zero=zero, T=4
        )
        assert all(x[0] - x[1] == 1 for x in onto)
        left = left or any(x[0] + x[2] != 3 for x in onto)
    assert left


# --- planted errors


def test_a_row_with_another_sign_leaves_the_line(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    right = aligned.entry
    monkeypatch.setattr(aligned, "entry", lambda o, s, m: right(o, 1, m))
    for id in ("theorem-1-sign", "theorem-1", "theorem-1-contribution-smooth"):
        assert verdicts(id)[1] == "refuted"
    assert verdicts("theorem-1-generalization") == ["refuted"]
    assert verdicts("theorem-1-contribution-smooth")[0] == "proved"  # equal signs are left alone by this error
    assert module("theorem_1_steps").the_induction_step_for_zero().outcome == "refuted"


def test_a_zero_entry_of_a_row_leaves_the_line(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "mj", 0)
    monkeypatch.setattr(aligned, "mk", 1)
    assert module("theorem_1_steps").prove(aligned.on_the_line(0)).outcome == "refuted"


def test_a_sign_that_ignores_its_convention_makes_it_as_printed(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    right = module("theorem_1").exact.sign_sgd
    monkeypatch.setattr(module("theorem_1").exact, "sign_sgd", lambda *a, zero=0, T=None: right(*a, zero=0, T=T))
    assert verdicts("theorem-1-necessary")[0] == "supported"
    assert verdicts("theorem-1")[0] == "supported"
    assert verdicts("theorem-1")[1] == "refuted"  # the runs no longer end as often as the repair promises


def test_parallel_rows_are_no_witness(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "ROWS", ((F(1), F(-1)), (F(2), F(-2))))
    assert verdicts("theorem-1-necessary")[0] == "supported"
    assert verdicts("theorem-1")[0] == "supported"
    assert verdicts("theorem-1")[1] == "refuted"  # l_2' vanishes on the diagonal, too


def test_rows_of_different_signs_are_no_witness(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "ROWS", ((F(1), F(-1)), (F(2), F(1))))
    assert verdicts("theorem-1")[0] == "supported"


def test_a_rule_with_half_the_step_never_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module("theorem_1").to_the_optimum

    def half(zero: int) -> Callable[..., Fraction]:
        return lambda t, x, g: right(zero)(t, x, g) / 2

    monkeypatch.setattr(module("theorem_1"), "to_the_optimum", half)
    assert verdicts("theorem-1-necessary")[0] == "supported"


def test_a_convex_loss_does_not_push_away(aligned: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligned, "rational_bump", lambda r: 2 * r)
    assert verdicts("theorem-1-exception") == ["supported", "undecided"]
    assert verdicts("theorem-1-one-dimension")[1] == "refuted"
    assert verdicts("theorem-1-contribution-smooth")[1] == "refuted"


def test_a_mean_over_twice_n_is_not_the_gradient_over_n(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = module("theorem_1_steps")
    right = steps.expectation
    monkeypatch.setattr(steps, "expectation", lambda n, factor: right(n, factor / 2))
    assert verdicts("theorem-1-unbiased") == ["refuted", "refuted"]


def test_a_batch_of_one_does_not_solve_counterexample_3(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = module("theorem_1_scope")
    monkeypatch.setattr(scope, "full_batch", lambda t, x: (3 * x[0] - x[1], -x[0] + x[1] / 3))  # the first row alone
    assert verdicts("theorem-1-batch") == ["refuted"]


def test_a_swapped_subgradient_leaves_the_line_of_counterexample_2(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = module("theorem_1_scope")
    right = scope.subgradient
    monkeypatch.setattr(scope, "subgradient", lambda a, b, zero: (right(a, b, zero)[0], right(a, b, zero)[0]))
    assert verdicts("theorem-1-contribution-nonsmooth")[1] == "refuted"


def test_a_two_valued_subgradient_only_is_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = module("theorem_1_scope")
    right = scope.subgradient
    monkeypatch.setattr(scope, "subgradient", lambda a, b, zero: right(a, b, zero or 1))
    assert verdicts("theorem-1-contribution-nonsmooth") == ["supported", "refuted"]


def test_a_step_with_the_wrong_sign_does_not_solve_one_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = module("theorem_1_scope")
    right = scope.exact.sign_sgd
    monkeypatch.setattr(scope.exact, "sign_sgd", lambda g, *a, **k: right(lambda t, x: [-q for q in g(t, x)], *a, **k))
    assert verdicts("theorem-1-one-dimension")[0] == "supported"


def test_simulated_steps_off_the_line_are_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = module("theorem_1_feedback")

    def skewed(gamma: Any, zero: int) -> Any:
        return CompressedSGD(gamma, lambda v, rng=None: np.sign(v) * (1 + 1e-6 * (np.arange(v.shape[-1]) == 0)))

    monkeypatch.setattr(feedback, "SignSGD", skewed)
    assert feedback.survey(2, False, 0).outcome == "refuted"
    assert feedback.survey(10, True, 0).outcome == "refuted"


def test_compression_without_feedback_is_not_seen_to_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = module("theorem_1_feedback")
    monkeypatch.setattr(feedback, "EFSGD", CompressedSGD)
    assert feedback.small_dimensions_end_near_the_optimum().outcome == "refuted"
    assert feedback.losses_with_minima_of_their_own_need_smaller_steps().outcome == "refuted"


class Leaky(EFSGD):
    """Error feedback that forgets half of its memory in each step."""

    def remember(self, p: Any, delta: Any, state: Any) -> None:
        p -= delta
        p *= 0.5
        state["e"], state["p"] = p, state["e"]


def test_feedback_with_half_the_memory_forgotten_is_not_seen_to_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = module("theorem_1_feedback")
    monkeypatch.setattr(feedback, "EFSGD", Leaky)
    found = feedback.small_dimensions_end_near_the_optimum()
    assert found.outcome != "supported"
    assert found.data["falls"]["absolute, 2"] > 0.5 and found.data["falls"]["squared, 10"] > 0.1
    assert feedback.a_hundred_dimensions_fall_below_the_floor().outcome != "supported"


def test_best_steps_that_miss_the_floor_are_not_best(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = module("theorem_1_feedback")
    monkeypatch.setattr(feedback, "BestStep", lambda p: 0.01)
    assert feedback.survey(3, False, 0).outcome == "undecided"


def test_a_floor_that_is_too_high_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = module("theorem_1_feedback")
    right = feedback.floor
    monkeypatch.setattr(feedback, "floor", lambda p, x0: 1.1 * right(p, x0))
    assert feedback.survey(3, False, 0).outcome == "refuted"


# --- benign conditions


def test_gaussian_noise_has_the_right_sign_as_often_as_the_formula_says() -> None:
    rng = np.random.default_rng(3)
    for z in (0.2, 0.5, 1.0, 2.0):
        mean = float(np.sign(z + rng.standard_normal(200_000)).mean())
        assert abs(mean - erf(z / np.sqrt(2))) < 0.02  # Hoeffding: exceeded with chance below 1e-8
        assert mean > 2 / 3 * min(1, z) - 0.02


def test_a_fixed_step_alternates_by_hand() -> None:
    x, seen = F(1, 2), []
    for _ in range(4):
        x -= 1 if x > 0 else -1
        seen.append(x)
    assert seen == [F(-1, 2), F(1, 2), F(-1, 2), F(1, 2)]


def test_signsgd_with_a_large_batch_keeps_its_bound() -> None:
    """f = ||x||^2/2 in d = 5, T = 400 = batch-size, 50 runs: the mean gradient against (F + L/2 + 2 sum sigma)/sqrt(T)."""
    rng, T, sigma = np.random.default_rng(4), 400, 2.0
    x = np.full((50, 5), 1.0)
    first, total = 0.5 * 5, 0.0
    for _ in range(T):
        total += float(np.abs(x).sum(axis=1).mean())
        x -= np.sign(x + sigma / np.sqrt(T) * rng.standard_normal(x.shape)) / np.sqrt(T)
    assert total / T <= (first + 5 / 2 + 2 * 5 * sigma) / np.sqrt(T)


def test_noise_that_counts_once_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    benign = module("benign")
    right = benign.Abs
    monkeypatch.setattr(benign, "Abs", lambda v: right(v) / 2 if v == benign.g - benign.d else right(v))
    assert verdicts("benign-large-batch") == ["refuted"]


def test_noise_of_twice_the_size_has_another_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    benign = module("benign")
    monkeypatch.setattr(benign, "chance", lambda: benign.erf(benign.z / (2 * benign.sqrt(2))))
    assert verdicts("benign-gaussian") != ["proved"]


def test_a_step_along_the_wrong_sign_does_not_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    benign = module("benign")
    right = benign.along
    monkeypatch.setattr(benign, "along", lambda zero: -right(zero))
    assert verdicts("benign-large-batch") == ["refuted"]
    assert verdicts("benign-fixed-step")[1] == "refuted"


def test_the_bump_pushes_away_in_one_dimension_by_hand() -> None:
    x = F(2)
    slope = (2 * x - 2 * x**5) / (1 + x**4) ** 2
    assert slope == F(-60, 289)
    assert x - abs(x) * -1 == 4
