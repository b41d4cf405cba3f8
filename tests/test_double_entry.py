"""What the audit takes for granted, entered twice: right-hand sides, problems, algorithms. Each slip is refuted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcheck import bounds, content, methods
from efcheck.claims import Claim, collect
from efcheck.compressors import ScaledSign
from efcheck.problems import LeastSquares2D, Linear1D, NonSmooth2D

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "proofs_numeric" / "right_sides.py", ROOT / "counterexamples" / "as_simulated.py")
CLAIMS: dict[str, Claim] = {claim.id: claim for file in FILES for claim in collect(file)}


def verdict(id: str) -> str:
    return CLAIMS[id].audit().printed.verdict


@pytest.mark.parametrize("id", CLAIMS)
def test_as_it_is_all_is_proved(id: str) -> None:
    assert verdict(id) == "proved"


@pytest.mark.parametrize("name", ["LEMMA_3", "THEOREM_2", "REMARK_4", "REMARK_4_SGD", "REMARK_5", "REMARK_5_PLAIN",
                                  "THEOREM_3", "REMARK_6", "REMARK_6_SGD", "REMARK_10"])  # fmt: skip
def test_a_misquoted_right_side_is_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = getattr(bounds, name)
    wrong = replace(bound.printed, expression=bound.printed.expression * bounds.sp.Rational(101, 100))
    monkeypatch.setattr(bounds, name, replace(bound, printed=wrong))
    assert verdict("right-sides-printed") == "refuted"


@pytest.mark.parametrize("form", ["repaired", "sharp"])
@pytest.mark.parametrize("name", ["THEOREM_2", "REMARK_4", "REMARK_5", "THEOREM_3", "REMARK_6"])
def test_a_wrong_form_of_a_remark_is_refuted(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = getattr(bounds, name)
    side = getattr(bound, form)
    monkeypatch.setattr(bounds, name, replace(bound, **{form: replace(side, expression=2 * side.expression)}))
    assert verdict("right-sides-derived") == "refuted"


def test_a_feedback_that_forgets_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.EFSGD, "remember", lambda self, p, delta, state: None)
    assert verdict("as-simulated-algorithms") == "refuted"


def test_a_scale_without_its_dimension_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = ScaledSign.compress_into

    def wrong(self: ScaledSign, v: Any, out: Any, negative_zeros: bool = True) -> Any:
        scale = kernel(self, v, out, negative_zeros)
        out *= v.shape[-1]
        return scale

    monkeypatch.setattr(ScaledSign, "compress_into", wrong)
    assert verdict("as-simulated-algorithms") == "refuted"


@pytest.mark.parametrize("problem", [Linear1D, NonSmooth2D, LeastSquares2D])
def test_a_wrong_objective_or_gradient_of_a_problem_is_refuted(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value, gradient = problem._f, problem.gradient_given
    monkeypatch.setattr(problem, "_f", lambda self, x: value(self, x) + np.abs(x[..., 0]))
    assert verdict("as-simulated-problems") == "refuted"
    monkeypatch.setattr(problem, "_f", value)
    monkeypatch.setattr(problem, "gradient_given", lambda self, x, noise, out=None: -gradient(self, x, noise, out))
    assert verdict("as-simulated-problems") == "refuted"


def test_a_line_search_that_overshoots_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    for problem in (Linear1D, NonSmooth2D, LeastSquares2D):
        with monkeypatch.context() as patch:
            search = problem._line_search
            patch.setattr(problem, "_line_search", lambda self, x, v, search=search: 1.5 * search(self, x, v))
            assert verdict("as-simulated-line-search") == "refuted"


def test_the_files_stand_alone() -> None:
    assert all(content.load(file).__doc__ for file in FILES)
