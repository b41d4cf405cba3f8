"""counterexamples/: every verdict as expected on several seeds, planted errors found, witnesses recomputed by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sympy import Rational

from efcheck import content
from efcheck.claims import collect
from efcheck.methods import CompressedSGD

F = Fraction
FOLDER = Path(__file__).parents[1] / "counterexamples"
FILES = sorted(FOLDER.glob("counterexample_*.py"))
SOLVED = FOLDER / "solved.py"
CLAIMS = {claim.id: claim for file in (*FILES, SOLVED) for claim in collect(file)}


@pytest.fixture
def module() -> Callable[[int], ModuleType]:
    return lambda number: content.load(FOLDER / f"counterexample_{number}.py")


@pytest.fixture
def solved() -> ModuleType:
    return content.load(SOLVED)


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def test_there_are_three_files_with_claims_of_their_own_prefix() -> None:
    assert [file.stem for file in FILES] == [f"counterexample_{i}" for i in (1, 2, 3)]
    for file in FILES:
        assert all(claim.id.startswith(file.stem.replace("_", "-")) for claim in collect(file))
    assert len(CLAIMS) == sum(len(collect(file)) for file in (*FILES, SOLVED)) >= 22


# --- witnesses, recomputed without efcheck's engine


def data_of(id: str, part: str = "") -> dict[str, Any]:
    pieces = CLAIMS[id].audit().printed.evidence
    return dict(next(e.data for e in pieces if e.outcome == "refuted" and e.covers == (part or e.covers)))


def test_counterexample_1_witness_projected_sgd_at_the_minimum() -> None:
    witness = {name: F(value) for name, value in data_of("counterexample-1-sgd")["witness"].items()}
    x, gamma = witness["x"], witness["gamma"]
    assert -1 <= x <= 1 and gamma >= 0
    steps = [(F(1, 4), x - 4 * gamma), (F(3, 4), x + gamma)]
    after = sum(p * min(max(z, F(-1)), F(1)) / 4 for p, z in steps)
    assert after != x / 4 - gamma / 16


def test_counterexample_2_witness_is_the_optimum_after_one_step() -> None:
    data = data_of("counterexample-2")
    assert tuple(data["x"]) == (0, 0) and data["t"] == 1 and data["zero"] == 0
    eps = F(1, 2)  # at (1, 1): x1 + x2 = 2 > 0 and x1 - x2 = 0, whose sign is taken as 0
    g = (eps * 1 + 0, eps * 1 - 0)
    assert g[0] > 0 and g[1] > 0  # so the step is -(1, 1), with gamma = 1
    assert tuple(data["x"]) == (1 - 1, 1 - 1)


@pytest.mark.parametrize("id", ["counterexample-3", "counterexample-3-line"])
def test_counterexample_3_witness_recomputed_from_its_data(id: str) -> None:
    data = data_of(id)
    eps, x = F(1, 2), [F(1), F(1)]
    rows = [(1 + eps, -1 + eps), (-1 + eps, 1 + eps)]

    def f() -> Fraction:
        return sum(((a * x[0] + b * x[1]) ** 2 for a, b in rows), F(0))

    start = f()
    for i, gamma in zip(data["picks"], data["gamma"], strict=True):
        inner = rows[i][0] * x[0] + rows[i][1] * x[1]
        g = [2 * inner * a for a in rows[i]]
        x = [z - gamma * (1 if h > 0 else -1 if h < 0 else data["zero"]) for z, h in zip(x, g, strict=True)]
    assert x == list(data["x"]) and start == 2
    assert f() < start if id == "counterexample-3" else x[0] + x[1] != 2


# --- planted errors


def test_counterexample_1_with_another_probability_has_another_mean(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(1), "OUTCOMES", ((4, Rational(1, 5)), (-1, Rational(4, 5))))
    assert verdicts("counterexample-1-mean") == ["refuted"]
    assert verdicts("counterexample-1-sgd")[1] == "refuted"
    assert verdicts("counterexample-1-contrast")[1] == "refuted"


def test_counterexample_1_without_its_constraint_is_as_printed(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(1), "project", lambda z: z)
    assert verdicts("counterexample-1-sgd")[0] == "proved"
    assert verdicts("counterexample-1-signsgd")[0] == "proved"


@pytest.mark.parametrize("ratio", [2, 4])
def test_counterexample_1_simulation_refutes_a_law_of_another_ratio(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch, ratio: int
) -> None:
    def wrong(step: object, m: int) -> list[Fraction]:
        weights = [F(ratio) ** k for k in range(2 * m + 1)]
        return [w / sum(weights) for w in weights]

    monkeypatch.setattr(module(1), "law", wrong)
    assert module(1).simulated_signsgd_follows_the_law().outcome == "refuted"
    assert module(1).the_solved_law_is_the_geometric_one().outcome == "refuted"


def test_counterexample_1_compressor_that_halves_is_not_sgd(solved: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        def __call__(self, v: Any, rng: object = None) -> Any:
            return np.asarray(v) / 2

    monkeypatch.setattr(solved, "ScaledSign", Half)
    assert verdicts("counterexample-1-ef") == ["refuted"]


def test_counterexample_2_with_a_swapped_sign_is_no_subgradient(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module(2).subgradient
    monkeypatch.setattr(module(2), "subgradient", lambda a, b, zero: right(a, b, zero)[::-1])
    assert verdicts("counterexample-2-minimum") == ["refuted"]
    assert verdicts("counterexample-2")[1] == "refuted"


def test_counterexample_2_with_a_sign_of_zero_above_one_is_no_subgradient(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(2), "CONVENTIONS", (-1, 0, 2))
    assert verdicts("counterexample-2-minimum") == ["refuted"]


def test_counterexample_2_with_a_two_valued_sign_only_is_as_printed(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module(2).fractional_subgradient
    monkeypatch.setattr(module(2), "fractional_subgradient", lambda epsilon, zero: right(epsilon, zero or 1))
    assert verdicts("counterexample-2")[0] == "supported"
    assert verdicts("counterexample-2-adaptive")[0] == "supported"


def forgetful(gradient: Any, x0: Any, gammas: Any, compress: Any) -> Any:
    """Exact compressed SGD: the error is thrown away."""
    xs = [tuple(x0)]
    for t, gamma in enumerate(gammas):
        step = compress([gamma * g for g in gradient(t, xs[-1])])
        xs.append(tuple(a - b for a, b in zip(xs[-1], step, strict=True)))
    return xs, []


def test_counterexample_2_without_feedback_is_not_solved_in_exact_runs(
    solved: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solved.exact, "ef_sgd", forgetful)
    assert solved.exact_runs_fall_below_a_tenth_of_the_start().outcome == "undecided"


@pytest.mark.parametrize("number", [2, 3])
def test_counterexamples_without_feedback_are_not_solved_in_simulation(
    solved: ModuleType, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(solved, "EFSGD", CompressedSGD)
    assert verdicts(f"counterexample-{number}-ef") == ["undecided"]


def test_counterexample_3_with_another_row_moves_off_the_line(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    eps = module(3).eps
    monkeypatch.setattr(module(3), "ROWS", ((1 + eps, 1 + eps), (-1 + eps, 1 + eps)))
    assert verdicts("counterexample-3-sign")[1] == "refuted"
    assert verdicts("counterexample-3-line")[1] == "refuted"
    assert verdicts("counterexample-3")[1] == "refuted"


def test_counterexample_3_with_parallel_rows_has_other_minima(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    eps = module(3).eps
    monkeypatch.setattr(module(3), "ROWS", ((1 + eps, -1 + eps), (1 + eps, -1 + eps)))
    assert verdicts("counterexample-3-minimum") == ["refuted"]


def test_counterexample_3_with_its_missing_factor_is_unbiased(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module(3).gradient
    monkeypatch.setattr(module(3), "gradient", lambda i: tuple(2 * g for g in right(i)))
    assert verdicts("counterexample-3-unbiased") == ["proved", "refuted"]
    assert verdicts("counterexample-3-gradient") == ["refuted"]


def test_counterexample_3_with_sign_zero_fixed_at_zero_is_as_printed(
    module: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module(3).exact.sign_sgd
    monkeypatch.setattr(module(3).exact, "sign_sgd", lambda *a, zero: right(*a, zero=0))
    assert verdicts("counterexample-3") == ["supported", "undecided"]
    assert verdicts("counterexample-3-line")[0] == "supported"
