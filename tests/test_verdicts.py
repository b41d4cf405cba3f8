"""All content: every claim of every file has the verdicts that it expects, whatever the seed, and evidence a reader can use."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from efcheck import content
from efcheck.claims import Check, Result, collect

ROOT = Path(__file__).parents[1]
FILES = [file for folder in content.CLAIM_FOLDERS for file in content.scripts(ROOT / folder)]
FOUND = [(file, claim) for file in FILES for claim in collect(file)]
CLAIMS = {claim.id: claim for _, claim in FOUND}


def seeded(check: Check) -> bool:
    code = check.__code__
    return "seed" in code.co_varnames[: code.co_argcount]


SEEDED = sorted(id for id, c in CLAIMS.items() if any(map(seeded, c.printed_checks + c.repaired_checks)))
_RESULTS: dict[str, Result] = {}


def result(id: str) -> Result:
    if id not in _RESULTS:
        _RESULTS[id] = CLAIMS[id].audit()
    return _RESULTS[id]


def test_ids_are_unique_and_every_file_has_claims() -> None:
    assert [id for id, n in Counter(claim.id for _, claim in FOUND).items() if n > 1] == []
    assert {file for file, _ in FOUND} == set(FILES)


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_has_its_expected_verdicts_and_says_why(id: str) -> None:
    found = result(id)
    assert found.errors == () and not found.missing_extras
    assert [form.verdict for form in found.forms] == [form.expected for form in found.forms]
    for form in found.forms:
        assert form.deciding is not None and form.deciding.detail.strip()
        assert all(piece.detail.strip() for piece in form.evidence)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 50))])
@pytest.mark.parametrize("id", SEEDED)
def test_a_seeded_claim_has_its_expected_verdicts_on_fifty_seeds(id: str, seed: int) -> None:
    found = CLAIMS[id].audit(seed)
    assert found.as_expected, [(form.verdict, form.evidence) for form in found.forms]
