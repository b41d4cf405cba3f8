"""One piece of evidence, and the verdict that several pieces give together."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from efcheck.errors import argument_error

KINDS = ("identity", "inequality", "exact", "witness", "search", "statistics", "sdp")
OUTCOMES = ("proved", "refuted", "supported", "undecided")


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Parameters
    ----------
    kind : str
        identity, inequality, exact, witness, search, statistics or sdp.
    outcome : str
        proved, refuted, supported or undecided.
    detail : str
        One line for the reader of the report.
    data : mapping
        Numbers that reproduce or back the outcome.
    covers : str
        The part of the statement it is about; empty for the whole.
    seconds : float
        Time that it took, >= 0.

    Raises
    ------
    ArgumentError
        If `kind` or `outcome` is not one of the words above, or `seconds` is negative.

    Examples
    --------
    >>> Evidence("exact", "proved", "by hand").covering("T = 3").covers
    'T = 3'
    """

    kind: str
    outcome: str
    detail: str
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    covers: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise argument_error("kind", f"be one of {', '.join(KINDS)}", self.kind)
        if self.outcome not in OUTCOMES:
            raise argument_error("outcome", f"be one of {', '.join(OUTCOMES)}", self.outcome)
        if not self.seconds >= 0:
            raise argument_error("seconds", "be a number >= 0", self.seconds)

    def covering(self, text: str) -> Evidence:
        """A copy that says which part of the statement it is about."""
        return replace(self, covers=text)

    def to_json(self) -> dict[str, Any]:
        """A dict for `json.dumps`: rationals as text "3/4", numbers that are not finite as text "inf", "nan"."""
        return {
            "kind": self.kind,
            "outcome": self.outcome,
            "covers": self.covers,
            "detail": self.detail,
            "data": _plain(self.data),
            "seconds": _plain(float(self.seconds)),
        }


def combine(evidences: Iterable[Evidence]) -> str:
    """The verdict that all pieces give together.

    Any refuted piece makes it refuted. A part (pieces with equal `covers`) is proved if a piece proves it, else
    undecided if a piece is, else supported. The whole is undecided if a part is or there is no evidence, supported if a
    part is, else proved.

    Examples
    --------
    >>> combine([Evidence("exact", "proved", "", covers="a"), Evidence("search", "supported", "", covers="b")])
    'supported'
    """
    parts: dict[str, set[str]] = {}
    for piece in evidences:
        parts.setdefault(piece.covers, set()).add(piece.outcome)
    if any("refuted" in outcomes for outcomes in parts.values()):
        return "refuted"
    order = ("proved", "undecided", "supported")
    verdicts = {next(word for word in order if word in outcomes) for outcomes in parts.values()}
    return next((word for word in ("undecided", "supported", "proved") if word in verdicts), "undecided")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, numbers.Rational):  # SymPy registers its rationals here too
        return str(value)
    if getattr(value, "is_Float", False):
        return float(value)
    return str(value)
