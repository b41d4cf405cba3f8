"""Instances that `efcheck falsify NAME --out proofs_numeric/instances` has found; the audit runs them again on Fractions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from efcheck.errors import EfcheckError
from efcheck.evidence import Evidence, recheck


def again(name: str, right: Any) -> Evidence:
    """The stored run of that name against a right side: every hypothesis of the bound is checked, then left > right.

    EfcheckError if it refutes nothing any more: other witnesses of the same part would hide that.
    """
    file = Path(__file__).with_name("instances") / f"{name}.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    if data.get("bound") != name or data.get("scale") != "1":
        raise EfcheckError(f"{file.name} is not about {name}, or scales it")
    found = recheck(data, right)
    if found.outcome != "refuted":
        raise EfcheckError(f"{file.name} refutes {name} no more: {found.detail}")
    return found
