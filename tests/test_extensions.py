"""counterexamples/extensions*.py: witnesses and laws recomputed by hand, planted errors found."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from efcheck import content, figure
from efcheck.claims import collect

F = Fraction
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "counterexamples"
FILES = sorted(FOLDER.glob("extensions*.py"))
CLAIMS = {claim.id: claim for file in FILES for claim in collect(file)}
BETAS = {"0.5": F(1, 2), "0.9": F(9, 10), "0.99": F(99, 100)}


def load(name: str) -> ModuleType:
    return content.load(FOLDER / f"{name}.py")


@pytest.fixture
def fresh() -> Iterator[None]:
    """The overall claim remembers what the single ones found: not across tests that plant errors."""
    load("extensions").found.cache_clear()
    yield
    load("extensions").found.cache_clear()


def verdicts(id: str, seed: int = 0) -> list[str]:
    result = CLAIMS[id].audit(seed)
    assert result.errors == ()
    return [form.verdict for form in result.forms]


def data_of(id: str, covers: str) -> dict[str, Any]:
    pieces = CLAIMS[id].audit().printed.evidence
    return dict(next(e.data for e in pieces if e.outcome == "refuted" and e.covers == covers))


# --- verdicts


def test_there_is_one_claim_for_each_combination_and_two_for_the_sentence() -> None:
    assert len(CLAIMS) == 8 * 4 + 2 + 1
    proved = {id for id, claim in CLAIMS.items() if claim.expect == "proved"}
    keeps = {"momentum-1-beta-0.5", "workers-mean-2"} | {f"workers-vote-{k}" for k in (1, 2, 3, "theorem-1")}
    keeps |= {f"compressor-scaled-sign-{k}" for k in (2, 3, "theorem-1")}
    assert proved == {"extension", *(f"extension-{key}" for key in keeps)}


def test_the_sentence_names_the_n_that_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "n = 1, 2, 6 only, and 5, 10 if sign(0) = -1" in load("extensions").kept()
    monkeypatch.setattr(load("extensions_workers"), "HOLDS", {-1: {1, 2, 3}, 0: {1, 2}, 1: {1, 2}})
    assert "n = 1, 2 only, and 3 if" in load("extensions").kept()
    assert load("extensions").the_mean_of_workers_is_counted_as_said().outcome == "refuted"


# --- laws and witnesses, recomputed without the engine


def test_momentum_one_half_is_negative_in_most_of_all_sequences_of_twelve_draws() -> None:
    momentum = load("extensions_momentum")
    positive = F(0)
    for draws in product((4, -1), repeat=12):
        m = F(0)
        for g in draws:
            m = g + m / 2
        positive += (m > 0) * F(1, 4) ** draws.count(4) * F(3, 4) ** draws.count(-1)
    assert positive == F(7, 16) * (1 + F(9, 256) + F(9, 256) ** 2)  # the series of 112/247
    assert momentum.early(F(1, 2), 12)[1] == positive
    assert momentum.late(F(1, 2), 12, 64)[1] <= positive <= 1 - momentum.late(F(1, 2), 12, 64)[0]


@pytest.mark.parametrize("b", BETAS.values())
def test_late_bounds_hold_for_simulated_momentum(b: Fraction) -> None:
    negative, positive = load("extensions_momentum").late(b, 30, 20)
    rng, m = np.random.default_rng(5), np.zeros(20000)
    for _ in range(400):
        m = np.where(rng.random(20000) < 0.25, 4, -1) + float(b) * m
    slack = 0.02  # Hoeffding: exceeded with chance 2 exp(-16)
    assert float(negative) <= (m < 0).mean() + slack and float(positive) <= (m > 0).mean() + slack


@pytest.mark.parametrize("name", BETAS)
def test_counterexample_2_momentum_witness_in_two_steps_by_hand(name: str) -> None:
    data = data_of(f"extension-momentum-2-beta-{name}", "zero=1")
    b, eps, x, m = BETAS[name], F(1, 2), [F(1), F(1)], [F(0), F(0)]
    for gamma in data["gamma"]:
        s = 1 if x[0] >= x[1] else -1
        assert x[0] + x[1] > 0
        m = [eps + s + b * m[0], eps - s + b * m[1]]
        x = [z - gamma * (1 if w > 0 else -1) for z, w in zip(x, m, strict=True)]
    assert x == list(data["x"]) and len(data["gamma"]) == 2
    assert eps * abs(x[0] + x[1]) + abs(x[0] - x[1]) < F(1, 100)


@pytest.mark.parametrize("name", BETAS)
def test_counterexample_3_momentum_witness_in_two_steps_by_hand(name: str) -> None:
    data = data_of(f"extension-momentum-3-beta-{name}", "witness")
    b, x, m = BETAS[name], [F(1), F(1)], [F(0), F(0)]
    for row, gamma in zip(((F(3, 2), F(-1, 2)), (F(-1, 2), F(3, 2))), data["gamma"], strict=True):
        e = row[0] * x[0] + row[1] * x[1]
        m = [2 * e * a + b * old for a, old in zip(row, m, strict=True)]
        x = [z - gamma * (1 if w > 0 else -1) for z, w in zip(x, m, strict=True)]
    assert x == list(data["x"])
    assert (F(3, 2) * x[0] - x[1] / 2) ** 2 + (F(3, 2) * x[1] - x[0] / 2) ** 2 < F(1, 100)  # f(x_0) = 2


@pytest.mark.parametrize("n", range(1, 9))
def test_chances_of_workers_agree_with_an_enumeration_of_all_draws(n: int) -> None:
    workers = load("extensions_workers")
    for key, value in (("vote", lambda g: sum(1 if x > 0 else -1 for x in g)), ("total", sum)):
        below, above = F(0), F(0)
        for draws in product((4, -1), repeat=n):
            p = F(1, 4) ** draws.count(4) * F(3, 4) ** draws.count(-1)
            below, above = below + p * (value(draws) < 0), above + p * (value(draws) > 0)
        assert workers.chances(getattr(workers, key), n) == (below, above)


@pytest.mark.parametrize("n", range(2, 11))
def test_counterexample_3_mean_witness_recomputed_in_the_coordinates_of_the_line(n: int) -> None:
    data, h = data_of("extension-workers-mean-3", f"n={n}"), F(n - 2, 2 * n)
    # At x_1 = (1-h, 1+h): u = 2, v = -2h, and n v + epsilon u (n-2) = 0, so the sum of gradients is a multiple of (1, 1).
    assert -2 * h * n + F(1, 2) * 2 * (n - 2) == 0
    assert list(data["x"]) == [-h, h]


def test_counterexample_2_top_1_reaches_the_optimum_by_hand() -> None:
    x = [F(1), F(1)]  # sign(0) = -1: g = (-1/2, 3/2), then g = (3/2, -1/2)
    x[1] -= F(2, 3) * F(3, 2)
    x[0] -= F(2, 3) * F(3, 2)
    assert x == [0, 0] == list(data_of("extension-compressor-top-1-2", "witness")["x"])


@pytest.mark.parametrize("name", BETAS)
def test_theorem_1_momentum_witness_by_hand(name: str) -> None:
    data = data_of(f"extension-momentum-theorem-1-beta-{name}", "witness")
    b, x, m, rows = BETAS[name], [F(3), F(1)], [F(0), F(0)], ((F(3, 2), F(-1, 2)), (F(-1, 2), F(3, 2)))
    for i, following in zip(data["i"], data["path"][1:], strict=True):
        row = rows[int(i) - 1]
        e = row[0] * x[0] + row[1] * x[1]
        m = [2 * e * a + b * old for a, old in zip(row, m, strict=True)]
        moves = {(z - w) / (1 if p > 0 else -1) for z, w, p in zip(x, following, m, strict=True)}
        assert len(moves) == 1 and moves.pop() >= 0 and 0 not in m
        x = list(following)
    assert x == [0, 0]


def test_theorem_1_top_1_witness_by_hand() -> None:
    x = [F(1), F(1)]  # i = 1: g = (3/2, -1/2), keeps 3/2; then i = 2 at (0, 1): g = (-3/2, 9/2), keeps 9/2
    x[0] -= F(2, 3) * F(3, 2)
    x[1] -= F(2, 9) * F(9, 2)
    assert x == [0, 0] == list(data_of("extension-compressor-top-1-theorem-1", "witness")["path"][-1])


def test_theorem_1_sgd_projects_with_a_fifth() -> None:
    x = np.array([3.0, 1.0])
    for row in ([1.5, -0.5], [-0.5, 1.5]) * 20:
        x = x - 2 / 5 * (np.dot(row, x)) * np.array(row)
    assert np.linalg.norm(x) < 1e-6


@pytest.mark.parametrize("b", [F(9, 10), F(99, 100)])
def test_a_diagonal_has_no_nearer_matrix_of_rank_one(b: Fraction) -> None:
    rng = np.random.default_rng(6)
    u, v = rng.normal(size=(2, 2000, 2))
    least = ((np.array([[float(b), 0], [0, 1]]) - u[:, :, None] * v[:, None, :]) ** 2).sum(axis=(1, 2)).min()
    assert least >= float(b) ** 2


# --- planted errors


def test_inward_rounding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    momentum = load("extensions_momentum")
    right = momentum.outward
    assert sum(momentum.late(F(9, 10), 40, 1)) <= 1
    monkeypatch.setattr(momentum, "outward", lambda p, q, up: right(p, q, -up))
    with pytest.raises(AssertionError, match="disjoint"):
        momentum.late(F(9, 10), 40, 1)


def test_late_bounds_on_a_coarse_grid_hold_for_simulated_momentum() -> None:
    negative, positive = load("extensions_momentum").late(F(9, 10), 40, 1)
    rng, m = np.random.default_rng(5), np.zeros(20000)
    for _ in range(400):
        m = np.where(rng.random(20000) < 0.25, 4, -1) + 0.9 * m
    assert float(negative) <= (m < 0).mean() + 0.02 and float(positive) <= (m > 0).mean() + 0.02


def test_theorem_1_with_a_zero_entry_leaves_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned = load("_aligned")
    right = aligned.entry
    monkeypatch.setattr(aligned, "entry", lambda o, s, m: right(o, 1, m))
    assert verdicts("extension-workers-vote-theorem-1") == ["refuted"]
    assert verdicts("extension-compressor-scaled-sign-theorem-1") == ["refuted"]


def test_theorem_1_momentum_that_is_forgotten_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    theorem_1 = load("extensions_theorem_1")
    right = theorem_1.momentum
    monkeypatch.setattr(theorem_1, "momentum", lambda b, picks, sums: right(F(0), picks, sums))
    assert verdicts("extension-momentum-theorem-1-beta-0.9") == ["supported", "undecided"]


def test_theorem_1_workers_that_all_draw_the_same_do_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    theorem_1 = load("extensions_theorem_1")
    rows = theorem_1.plane.rows_3(F(1, 2))
    monkeypatch.setattr(theorem_1.plane, "rows_3", lambda epsilon: (rows[0], rows[0]))
    assert verdicts("extension-workers-mean-theorem-1") == ["supported", "refuted"]


def test_another_best_approximation_of_a_diagonal_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_rank_1"), "kept", lambda first, second: (first, 0))
    assert verdicts("extension-compressor-rank-1-2")[1] == "refuted"
    assert verdicts("extension-compressor-rank-1-3")[1] == "refuted"


def test_another_row_in_the_definition_is_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = load("_plane")
    right = plane.f_of
    monkeypatch.setattr(plane, "f_of", lambda rows, x: right((rows[0], rows[0]), x))
    assert verdicts("extension-compressor-scaled-sign-3") == ["refuted"]
    assert verdicts("extension-momentum-3-beta-0.5")[1] == "refuted"


def test_momentum_with_frequent_spikes_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_momentum"), "CHANCE", F(1, 2))
    assert load("extensions_momentum").the_last_four_draws_decide().outcome == "refuted"
    assert load("extensions_momentum").the_stationary_chance_is_112_of_247().outcome == "refuted"


def test_momentum_with_small_spikes_does_not_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_momentum"), "SPIKE", 2)
    assert load("extensions_momentum").positive_in_the_long_run().outcome == "undecided"
    assert load("extensions_momentum").cantelli_in_the_long_run().outcome == "undecided"


def test_momentum_whose_simulation_forgets_it_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = load("extensions_momentum").SignSGD
    monkeypatch.setattr(load("extensions_momentum"), "SignSGD", lambda gamma, beta: right(gamma))
    assert verdicts("extension-momentum-1-constrained") == ["refuted"]


def test_momentum_with_a_wrong_sign_in_simulation_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = load("extensions_momentum").Linear1D

    class Mirrored(problem):  # type: ignore[valid-type, misc]
        def _f(self, x: Any) -> Any:
            return -super()._f(x)

    monkeypatch.setattr(load("extensions_momentum"), "Linear1D", Mirrored)
    assert verdicts("extension-momentum-1-constrained") == ["refuted"]


def test_momentum_that_is_forgotten_stays_on_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = load("extensions_momentum_plane")
    monkeypatch.setattr(plane, "with_momentum", lambda gradient, b: gradient)
    assert plane.two_steps(F(9, 10)).outcome == "supported"
    assert plane.two_draws(F(9, 10)).outcome == "supported"
    assert verdicts("extension-momentum-2-beta-0.9") == ["supported", "refuted"]  # nothing leaves above the threshold


def test_momentum_with_another_threshold_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_momentum_plane"), "threshold", lambda b: (1 - b) / (1 + 2 * b))
    assert verdicts("extension-momentum-2-beta-0.5")[1] == "refuted"


def test_momentum_with_a_larger_epsilon_does_not_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = load("extensions_momentum_plane")
    right = plane.gradient_3
    monkeypatch.setattr(plane, "gradient_3", lambda epsilon, picks: right(10 * epsilon, picks))
    assert plane.exact_runs_alternate().outcome == "refuted"


def test_workers_whose_votes_are_weighted_by_the_gradient_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = load("extensions_workers")
    monkeypatch.setattr(workers, "vote", workers.total)
    assert verdicts("extension-workers-vote-1") == ["refuted"]


def test_workers_with_a_smaller_spike_hold_for_other_n(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_workers"), "total", lambda j, n: 3 * j - (n - j))
    assert verdicts("extension-workers-mean-1")[1] == "refuted"


def test_workers_that_send_the_opposite_are_not_one_worker() -> None:
    workers = load("extensions_workers")
    assert workers.same_as_one(lambda y: -y).outcome == "refuted"
    assert workers.same_as_one(lambda y: y).outcome == "proved"


def test_workers_with_another_row_leave_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    eps = load("extensions_workers").eps
    monkeypatch.setattr(load("extensions_workers"), "ROWS", ((1 + eps, 1 + eps), (-1 + eps, 1 + eps)))
    assert verdicts("extension-workers-vote-3") == ["refuted"]
    assert verdicts("extension-workers-mean-3")[1] == "refuted"


def test_workers_whose_vote_is_the_mean_leave_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = load("extensions_workers")
    right = workers.exact_run
    monkeypatch.setattr(workers, "exact_run", lambda *a, voting=False, **k: right(*a, **k))
    assert workers.exact_votes().outcome == "refuted"


def test_scaled_sign_that_lost_its_norm_is_sign_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    compressors = load("extensions_compressors")
    monkeypatch.setattr(compressors, "scaled_sign", lambda g: [compressors.sgn(a, 1) for a in g])
    assert verdicts("extension-compressor-scaled-sign-1") == ["proved", "refuted"]
    assert verdicts("extension-compressor-scaled-sign-3") == ["refuted"]  # now sign(0) matters


def test_top_1_that_keeps_the_smaller_entry_moves_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    right = load("extensions_compressors").top_1
    monkeypatch.setattr(load("extensions_compressors"), "top_1", lambda g: [a - b for a, b in zip(g, right(g), strict=True)])
    assert verdicts("extension-compressor-top-1-2")[1] == "refuted"
    assert verdicts("extension-compressor-top-1-3")[1] == "refuted"


def test_top_1_sees_x1_if_the_rows_are_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    eps = load("extensions_compressors").eps
    monkeypatch.setattr(load("extensions_compressors"), "HIDING", ((1, eps), (1, -eps)))
    assert verdicts("extension-compressor-top-1-3")[1] == "refuted"
    assert verdicts("extension-compressor-rank-1-3")[1] == "refuted"


def test_rank_1_replaced_by_scaled_sign_is_not_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    compressors = load("extensions_compressors")
    monkeypatch.setattr(load("extensions_rank_1"), "LowRank", lambda rank, shape: compressors.ScaledSign())
    assert verdicts("extension-compressor-rank-1-2")[1] == "refuted"


def method(name: str) -> Any:
    return next(m for m in load("extensions").METHODS if m.name == name)


@pytest.mark.usefixtures("fresh")
def test_the_sentence_notices_a_combination_that_is_said_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    study = load("extensions")
    assert study.as_said(method("top-1"), "3").outcome == "proved"
    monkeypatch.setitem(study.KEEPS, "top-1", {"3"})
    assert study.as_said(method("top-1"), "3").outcome == "refuted"


@pytest.mark.usefixtures("fresh")
def test_the_sentence_notices_an_error_in_a_single_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("extensions_workers"), "vote", load("extensions_workers").total)
    assert load("extensions").as_said(method("majority vote"), "1").outcome == "refuted"


@pytest.mark.usefixtures("fresh")
def test_the_sentence_notices_an_example_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(load("extensions").EXAMPLES, "rank-1", ("1", "printed"))
    assert load("extensions").example(method("rank-1")).outcome == "undecided"


# --- the picture


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figure_extensions", ROOT / "figures" / "extensions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_shows_the_verdicts_and_redraws_to_the_byte(script: ModuleType, tmp_path: Path) -> None:
    data = script.compute(T=20, runs=16, points=4, top=0.5, largest=6)
    assert (data["verdict"] == "proved").sum() == 9 and (data["verdict"] == "refuted").sum() == 23
    first = figure.save("extensions", data, script.draw, script.SIZE, script.PANELS, tmp_path / "a", 0, 0.0)
    again = figure.picture(figure.load(tmp_path / "a" / "extensions.npz"), script.draw, script.SIZE, script.PANELS)
    assert {path.suffix[1:]: path.read_bytes() for path in first if path.suffix in (".png", ".pdf")} == again


@pytest.mark.parametrize("number", ["1", "3", "theorem-1"])
def test_the_runs_of_the_picture_follow_the_verdicts(script: ModuleType, number: str) -> None:
    stuck = script.simulated("majority vote", number, seed=1, T=1000, runs=50)
    moving = script.simulated("mean of workers", number, seed=1, T=1000, runs=50)
    assert stuck > 0.9 and moving < 0.2


def test_the_drift_of_the_picture_brackets_the_exact_values(script: ModuleType) -> None:
    low, high = script.momentum_drift(0.5)
    assert low <= 2 * 112 / 247 - 1 <= high and high - low < 0.02
    assert script.workers_drift(3, voting=False) == pytest.approx(2 * 37 / 64 - 1, abs=1e-15)
