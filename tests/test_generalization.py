"""counterexamples/generalization*.py: the exact runs of Section 5.2, their verdicts, planted errors, figures 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from efcheck import bounds, content
from efcheck.bounds import REMARK_10
from efcheck.claims import collect
from efcheck.problems import wilson_data

F = Fraction
ROOT = Path(__file__).parents[1]
FILES = [ROOT / "counterexamples" / f"generalization{part}.py" for part in ("", "_distance", "_draws", "_limit")]
CLAIMS = {claim.id: claim for file in FILES for claim in collect(file)}


@pytest.fixture
def study() -> ModuleType:
    return content.load(FILES[0])


@pytest.fixture
def wilson(study: ModuleType) -> Any:
    """The exact runs; whatever a test plants into them is forgotten with their caches."""
    yield study.wilson
    for module in map(content.load, FILES):
        for thing in (*vars(module).values(), *vars(module.wilson).values()):
            getattr(thing, "cache_clear", lambda: None)()


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


# --- the exact runs, against plain NumPy in all 1200 coordinates, without the engine


def plain_run(A: Any, y: Any, kind: str, epochs: int) -> Any:
    x, e, m = np.zeros(A.shape[1]), np.zeros(A.shape[1]), np.zeros(A.shape[1])
    for _ in range(epochs):
        g = A.T @ (A @ x - y) / len(y)
        if kind == "SGD":
            x = x - 0.5 * g
        elif kind == "signSGDM":
            m = g + 0.9 * m
            x = x - 0.05 * np.sign(m)
        else:
            p = 10 * g + (e if kind == "EF-signSGD" else 0)
            step = np.abs(p).mean() * np.sign(p)
            x, e = x - step, p - step
    return x


@pytest.mark.parametrize("kind", ["SGD", "scaled signSGD", "EF-signSGD"])
def test_an_exact_run_gives_the_losses_of_a_plain_run_in_all_coordinates(wilson: Any, kind: str) -> None:
    A, y, A_test, y_test = wilson_data(200, np.random.default_rng(7))
    x = plain_run(A, y, kind, 80)
    state = wilson.path(wilson.FIGURE_3[kind], int((y > 0).sum()))[-1]
    test = float(wilson.mixed(state.test_losses(), int((y_test > 0).sum())))
    assert np.mean((A_test @ x - y_test) ** 2) == pytest.approx(test, rel=1e-9)
    assert np.mean((A @ x - y) ** 2) == pytest.approx(float(state.train_loss()), abs=1e-12)


def test_signsgdm_agrees_with_a_plain_run_as_long_as_no_tie_is_rounded(wilson: Any) -> None:
    A, y, _, _ = wilson_data(200, np.random.default_rng(3))
    state = wilson.path(wilson.FIGURE_3["signSGDM"], int((y > 0).sum()), 5)[-1]
    x = plain_run(A, y, "signSGDM", 5)
    assert x[:2] == pytest.approx([state.x[0] / state.scale, state.x[1] / state.scale])


def test_three_steps_of_scaled_signsgd_by_hand(wilson: Any) -> None:
    """k > l: x_1 = 10 * 4/1200 = 1/30 on every used coordinate; then r = 1 - 4/30 = 13/15 of the residual is left."""
    states = wilson.path(wilson.FIGURE_3["scaled signSGD"], 60, 3)
    for t, s in enumerate(states):
        u = F(1, 4) * (1 - F(13, 15) ** t)
        assert [F(a, s.scale) for a in s.x] == [u, u, u, -u]


def test_the_span_distance_is_that_of_a_least_squares_solve(wilson: Any) -> None:
    states = wilson.path(wilson.FIGURE_3["EF-signSGD"], 47, 12)
    for t in (1, 2, 3, 12):
        weights = np.sqrt(np.array(states[0].weights, float))
        G = np.array([[float(F(a, s.scale)) for a in s.gradient] for s in states[:t]]).T * weights[:, None]
        x = np.array([float(F(a, states[t].scale)) for a in states[t].x]) * weights
        far = np.linalg.norm(x - G @ np.linalg.lstsq(G, x, rcond=1e-12)[0])
        assert float(wilson.span_distance_squared(states, t)) == pytest.approx(far**2, rel=1e-8, abs=1e-12)


def test_a_probability_is_a_sum_of_binomials(wilson: Any) -> None:
    assert wilson.probability(lambda k, m: True) == 1
    assert wilson.probability(lambda k, m: k == 3 and m == 100) == F(comb(100, 3), 4**100)


# --- planted errors


def test_swapped_test_labels_are_no_run_of_the_data(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """m and 100 - m are equally likely, so no probability shows it: the losses themselves must."""
    right = wilson.State.test_losses
    monkeypatch.setattr(wilson.State, "test_losses", lambda s: right(s)[::-1])
    assert verdicts("generalization-signsgd")[0] == "refuted"
    assert verdicts("generalization-reduction") == ["refuted"]
    assert verdicts("generalization-separation") == ["refuted"]


def test_a_test_half_counted_the_other_way_is_noticed(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = wilson.mixed
    monkeypatch.setattr(wilson, "mixed", lambda losses, m, n=100: right(losses, n - m, n))
    assert verdicts("generalization-reduction") == ["refuted"]
    assert verdicts("generalization-comparable")[0] == "proved"  # a probability over m and 100 - m alike


def test_a_swapped_class_is_no_run_of_the_data(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wilson.State, "weights", property(lambda s: (1, 2, 5 * s.k, s.l)))
    assert verdicts("generalization-reduction") == ["refuted"]


def test_a_lost_feedback_does_not_generalize(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = {**wilson.FIGURE_3, "EF-signSGD": wilson.FIGURE_3["scaled signSGD"]}
    monkeypatch.setattr(wilson, "FIGURE_3", forgetful)
    assert verdicts("generalization-ef") == ["refuted"]
    assert verdicts("generalization-comparable") == ["refuted"]
    assert verdicts("generalization-reduction") == ["refuted"]
    assert verdicts("generalization-distance-ef")[1] == "refuted"


def test_a_wrong_sign_is_no_run_of_the_data(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wilson, "sign", lambda v: 1 if v >= 0 else -1)
    assert verdicts("generalization-reduction") == ["refuted"]


def test_another_step_size_has_another_probability(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wilson.FIGURE_3, "scaled signSGD", wilson.scaled_signsgd(F(11)))
    assert verdicts("generalization-signsgd")[1] == "refuted"
    assert verdicts("generalization-separation") == ["refuted"]


def test_momentum_without_decay_has_another_probability(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wilson.FIGURE_3, "signSGDM", wilson.signsgdm(F(1, 20), F(9, 10), decay=False))
    assert verdicts("generalization-signsgdm")[1] == "refuted"


def test_momentum_that_is_lost_does_not_oscillate(wilson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wilson.FIGURE_3, "signSGDM", wilson.signsgdm(F(1, 20), F(0)))
    assert verdicts("generalization-oscillation") == ["refuted"]


def test_a_draw_that_favours_a_label_is_noticed_by_the_simulation(
    study: ModuleType, wilson: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "simulated_losses", lambda name, seed: np.full(10_000, 0.9))
    assert study.ten_thousand_draws_agree().outcome == "refuted"


def test_a_solution_of_another_norm_is_not_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = content.load(FILES[3])
    right = limit.multipliers
    monkeypatch.setattr(limit, "multipliers", lambda k, n=100: tuple(2 * v for v in right(k, n)))
    assert verdicts("generalization-test-limit")[1] == "refuted"
    assert verdicts("generalization-contribution")[1] == "undecided"


@pytest.mark.parametrize("bias", [0.35, 0.6])
def test_data_whose_labels_are_not_fair_are_noticed(monkeypatch: pytest.MonkeyPatch, bias: float) -> None:
    def unfair(n: int, rng: np.random.Generator) -> Any:
        y = np.where(rng.random(n) < bias, 1.0, -1.0)
        return None, y[: n // 2], None, y[n // 2 :]

    limit = content.load(FILES[3])
    monkeypatch.setattr(limit, "wilson_data", unfair)
    assert limit.labels_are_fair_and_halves_independent().outcome == "refuted"


def test_data_whose_halves_depend_on_each_other_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def sorted_halves(n: int, rng: np.random.Generator) -> Any:
        y = np.sort(np.where(rng.random(n) < 0.5, -1.0, 1.0))
        return None, y[: n // 2], None, y[n // 2 :]

    limit = content.load(FILES[3])
    monkeypatch.setattr(limit, "wilson_data", sorted_halves)
    assert limit.labels_are_fair_and_halves_independent().outcome == "refuted"


def test_the_two_files_draw_the_same_picture() -> None:
    draws = content.load(FILES[2])
    assert draws.as_published()(55, 49) and not draws.as_published()(49, 55)


def test_witnesses_are_those_of_the_likeliest_draws(study: ModuleType) -> None:
    found = CLAIMS["generalization-signsgd"].audit().printed.evidence[0].data
    assert (found["k"], found["m"]) == (50, 50)
    assert study.final("scaled signSGD", study.above)(50, 46) and not study.final("scaled signSGD", study.above)(50, 47)
    assert not study.final("EF-signSGD", study.below)(82, 45) and study.final("EF-signSGD", study.below)(82, 55)


def test_a_bound_that_falls_with_t_would_not_be_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    distance = content.load(FILES[1])
    falling = replace(REMARK_10.printed, expression=REMARK_10.printed.expression / bounds.t**20)
    monkeypatch.setattr(distance, "REMARK_10", replace(REMARK_10, printed=falling))
    assert verdicts("generalization-distance-predicted") == ["undecided", "refuted"]


def test_sgd_with_too_long_a_step_does_not_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = content.load(FILES[3])
    source = limit.sgd_contracts_on_every_draw
    monkeypatch.setitem(source.__globals__, "F", lambda a, b=1: Fraction(a, b) * 4)
    assert source().outcome == "refuted"


# --- the figures


@pytest.fixture(scope="module")
def drawn() -> Callable[[str], tuple[ModuleType, dict[str, Any]]]:
    cache: dict[str, tuple[ModuleType, dict[str, Any]]] = {}

    def get(name: str) -> tuple[ModuleType, dict[str, Any]]:
        if name not in cache:
            module = content.load(ROOT / "figures" / f"{name}.py")
            cache[name] = module, module.compute()
        return cache[name]

    return get


def test_figure_3_shows_a_draw_with_the_published_picture(drawn: Any) -> None:
    data = drawn("fig3")[1]
    names = list(data["method"])
    test = dict(zip(names, data["test"], strict=True))
    assert test["scaled signSGD"][-1] > 0.8 and test["signSGDm"].min() > 0.8 and test["EF-signSGD"][-1] < 0.1
    assert np.abs(data["distance"][names.index("SGD")]).max() < 1e-9  # rounding of a span of two gradients


def test_figure_3_shows_the_exact_curves(drawn: Any, wilson: Any) -> None:
    data = drawn("fig3")[1]
    k, m = (int(v) for v in data["ones"])
    exact = {"SGD": "SGD", "scaled signSGD": "scaled signSGD", "signSGDm": "signSGDM", "EF-signSGD": "EF-signSGD"}
    for name, test, distance in zip(data["method"], data["test"], data["distance"], strict=True):
        states = wilson.path(wilson.FIGURE_3[exact[str(name)]], k)
        last = 6 if name == "signSGDm" else 81  # later its ties are rounded
        told = [float(wilson.mixed(s.test_losses(), m)) for s in states]
        assert test[:last] == pytest.approx(told[:last], abs=1e-9)
        far = [float(wilson.span_distance_squared(states, t)) ** 0.5 for t in range(last)]
        assert distance[:last] == pytest.approx(far, abs=1e-6)


def test_figure_3_over_all_draws_weighs_every_draw(drawn: Any) -> None:
    data = drawn("fig3_draws")[1]
    assert data["weight"].sum() == pytest.approx(1)
    scaled = data["final"][list(data["method"]).index("scaled signSGD")]
    assert (data["weight"] * (scaled > 0.8)).sum() == pytest.approx(0.284344574)
    assert scaled[60, 40] == pytest.approx((25 - 24 * 0.4) / 16, abs=1e-4)  # k = 60, m = 40, not the other way round
