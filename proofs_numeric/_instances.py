"""Instances that `efcheck falsify NAME --out proofs_numeric/instances` has found; the audit runs them again on Fractions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from efcheck.evidence import Evidence, recheck


def again(name: str, right: Any) -> Evidence:
    """The stored run of that name against a right side: every hypothesis of the bound is checked, then left > right."""
    data = json.loads((Path(__file__).with_name("instances") / f"{name}.json").read_text(encoding="utf-8"))
    if data.get("bound") != name or data.get("scale") != "1":
        return Evidence("witness", "undecided", f"instances/{name}.json is about another bound")
    return recheck(data, right)
