"""evidence.worst_case: what may be asked, one line for what may not, and what the record says."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from efcheck.errors import ArgumentError, MissingExtraError
from efcheck.evidence import worst_case

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

COST = "Time grows as T^5: 0.1 s for 12, about 10 s for 30; longer runs are beyond a semidefinite program."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"quantity": "error"},
            "`quantity` must be one of error_norm, gradient_norm, suboptimality, contraction; got error.",
        ),
        ({"method": "SGD"}, "`method` must be one of EFSGD, CompressedSGD, EF21; got SGD."),
        ({"solver": "MOSEK"}, "`solver` must be one of CLARABEL, SCS; got MOSEK."),
        ({"T": 0}, f"`T` must be an integer in [1, 60]; got 0. {COST}"),
        ({"T": 1.5}, f"`T` must be an integer in [1, 60]; got 1.5. {COST}"),
        ({"T": 10**9}, f"`T` must be an integer in [1, 60]; got 1000000000. {COST}"),
        ({"L": 2.0}, "`L` must be left out: error_norm has T, delta, gamma, sigma; got 2.0."),
        (
            {"quantity": "suboptimality", "f0": 1.0},
            "`f0` must be left out: suboptimality has T, delta, gamma, sigma, R; got 1.0.",
        ),
        (
            {"quantity": "contraction", "sigma": 1.0},
            "`sigma` must be left out: contraction has T, delta, gamma, L, mu; got 1.0.",
        ),
        ({"delta": 0}, "`delta` must be a number in (0, 1]; got 0."),
        ({"delta": 1.1}, "`delta` must be a number in (0, 1]; got 1.1."),
        ({"gamma": 0}, "`gamma` must be a finite number > 0; got 0."),
        ({"gamma": math.inf}, "`gamma` must be a finite number > 0; got inf."),
        ({"quantity": "gradient_norm", "f0": 0}, "`f0` must be a finite number > 0; got 0."),
        ({"quantity": "suboptimality", "R": -1}, "`R` must be a finite number >= 0; got -1."),
        ({"quantity": "contraction"}, "`mu` must be a number in (0, 1); got None. It is the strong convexity, mu < L."),
    ],
    ids=lambda v: str(v)[:30],
)
def test_bad_arguments_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as error:
        worst_case(**({"quantity": "error_norm", "T": 2, "delta": 0.5, "gamma": 1.0} | changes))
    assert str(error.value) == message


@pytest.mark.parametrize("missing", ["PEPit", "clarabel", "scs"])
def test_a_missing_extra_is_one_line_that_names_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("efcheck.evidence._worst_case")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"got no module {missing}\. Install efcheck\[worst-case\]") as error:
        worst_case("error_norm", T=2, delta=0.5, gamma=1.0, solver="SCS" if missing == "scs" else "CLARABEL")
    assert "\n" not in str(error.value)


def test_importing_the_evidence_loads_no_solver() -> None:
    code = "import sys, efcheck.evidence; print([m for m in ('PEPit', 'cvxpy', 'clarabel', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("solver", ["CLARABEL", "SCS"])
def test_the_record_names_its_solver_and_version(solver: str) -> None:
    pytest.importorskip(solver.lower())
    found = worst_case("error_norm", T=1, delta=0.5, gamma=1.0, solver=solver)
    assert (found.data["solver"], found.data["version"]) == (solver, version(solver.lower()))
    assert f"{solver} {version(solver.lower())}: " in found.detail and found.to_json()["data"]["version"]


def test_a_letter_that_is_not_given_has_its_default() -> None:
    given = {"sigma": 1.0, "L": 1.0}
    first, second = (worst_case("gradient_norm", T=2, delta=0.5, gamma=1.0, **more).data for more in ({}, given))
    assert first["value"] == second["value"] and (first["sigma"], first["L"], first["f0"]) == (1.0, 1.0, None)


def test_the_same_question_gives_the_same_numbers() -> None:
    first, second = (worst_case("gradient_norm", T=5, delta=0.9, gamma=1.7, gram=True).data for _ in range(2))
    assert first["value"] == second["value"] and np.array_equal(first["gram"], second["gram"])
