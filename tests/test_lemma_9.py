"""Lemma 9 in proofs_numeric/: planted errors are found."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sympy import Matrix

from efcheck import content
from efcheck.claims import collect

F = Fraction
FOLDER = Path(__file__).parents[1] / "proofs_numeric"
CLAIMS = {claim.id: claim for file in sorted(FOLDER.glob("lemma_9*.py")) for claim in collect(file)}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    return lambda name: content.load(FOLDER / f"{name}.py")


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


@pytest.mark.parametrize(
    ("id", "attribute", "value", "expected"),
    [
        ("lemma-9-solutions", "loss", lambda M, p, t: sum((M * p).applyfunc(lambda r: r**2)), ["proved", "refuted"]),
        ("lemma-9-solutions", "TWINS", Matrix([[1, 0, 0], [0, 1, 0]]), ["refuted", "refuted"]),
        ("lemma-9-solutions", "least_norm", lambda M, t: M.T * t, ["refuted", "refuted"]),
        ("lemma-9-minimum-norm-rank", "TWINS", Matrix([[1, 0, 0], [0, 1, 0]]), ["supported", "proved"]),
        ("lemma-9-minimum-norm", "least_norm", lambda M, t: M.T * t, ["refuted"]),
        ("lemma-9-noise", "multiplicative", lambda s, p: (2 * (p[0] - 1), F(0)), ["supported", "undecided"]),
    ],
    ids=["no labels", "independent twins", "no inverse", "no twins", "the formula without its inverse", "no noise"],
)
def test_lemma_9_notices_a_planted_error(
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    id: str,
    attribute: str,
    value: Any,
    expected: list[str],
) -> None:
    monkeypatch.setattr(module("lemma_9"), attribute, value)
    assert verdicts(id) == expected


def test_lemma_9_with_a_remainder_in_its_identities_is_refuted(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_9")
    right = m.same
    monkeypatch.setattr(m, "same", lambda a, b: right([c + m.z[0] for c in a], b))
    assert verdicts("lemma-9") == ["refuted"] and verdicts("lemma-9-unique") == ["refuted"]
    assert verdicts("lemma-9-wlog") == ["refuted"]


def test_lemma_9_margin_with_a_swapped_label_has_no_witness(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_9_margin")
    monkeypatch.setattr(m, "LABELS", Matrix([1, 1]))  # signed Gram matrix (1, -2; -2, 5): both multipliers are positive
    assert all(c > 0 for c in m.multipliers(m.ROWS, m.LABELS))
    assert verdicts("lemma-9-margin") == ["supported", "proved"]


def test_wilson_data_with_another_private_count_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("lemma_9_margin"), "gram", lambda p, q, same: p * q + 2 + (2 - p if same else 0))
    assert verdicts("lemma-9-margin-wilson") == ["refuted"]


def test_wilson_data_with_a_heavy_shared_column_is_not_of_maximum_margin(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points of opposite labels that share nine columns: a multiplier changes its sign."""
    gram = lambda p, q, same: (3 if p == q else 9) + (1 + 2 * (1 - p) if same else 0)  # noqa: E731
    monkeypatch.setattr(module("lemma_9_margin"), "gram", gram)
    assert module("lemma_9_margin").all_multipliers_are_positive().outcome == "refuted"
    assert module("lemma_9_margin").the_rows_are_independent().outcome == "refuted"


def test_lemma_9_span_with_momentum_of_another_recursion_has_other_coefficients(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    m = module("lemma_9_span")
    monkeypatch.setattr(m, "momentum_step", lambda x, v, g, gamma: (x - gamma * g, g + m.beta * v))
    assert verdicts("lemma-9-span-sgd")[1] == "refuted"


def test_lemma_9_span_with_momentum_that_does_not_start_at_0_is_noticed(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("lemma_9_span"), "M0", F(1))
    assert module("lemma_9_span").momentum_starts_in_the_span().outcome == "refuted"


def test_lemma_9_span_of_an_uncompressed_step_has_no_witness(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("lemma_9_span"), "signs", lambda v: v)
    assert verdicts("lemma-9-span-biased") == ["undecided"] and verdicts("lemma-9-span-bias") == ["undecided"]
    monkeypatch.setattr(module("lemma_9_span"), "random_one", lambda kept: lambda v: v)
    assert verdicts("lemma-9-span-unbiased") == ["supported", "undecided"]


def test_lemma_9_span_with_a_biased_random_compressor_says_so(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module("lemma_9_span").random_one
    monkeypatch.setattr(module("lemma_9_span"), "random_one", lambda kept: lambda v: tuple(c / 2 for c in right(kept)(v)))
    assert verdicts("lemma-9-span-unbiased") == ["supported", "refuted"]
    monkeypatch.setattr(module("lemma_9_span"), "random_one", lambda kept: lambda v: right(0)(v))  # entry 1 on both draws
    assert module("lemma_9_span").exact_means_agree().outcome == "refuted"
