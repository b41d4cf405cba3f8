"""Proof or exact counterexample of a SymPy relation; SymPy and z3 load at the first call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from efcheck.errors import MissingExtraError
from efcheck.evidence.evidence import Evidence


def prove(
    relation: Any, assume: Iterable[Any] = (), *, timeout_s: float = 20.0, kind: str = "inequality", covers: str = ""
) -> Evidence:
    """Prove a relation for all real values of its symbols, or refute it at an exact point.

        for all symbols with `assume`, wherever both sides are defined: `relation`

    Parameters
    ----------
    relation : SymPy relation, And, Or, Not, Implies of relations, or true/false
        Polynomials, quotients, rational powers, Abs, Min, Max, sign (0 at 0), Piecewise. A float counts as the binary
        fraction it is. Symbols are real; their own assumptions (positive, integer, ...) are hypotheses too. A side is
        undefined where any part of it is not a real number, as Abs(sqrt(y)) is for y < 0.
    assume : relation or iterable of relations
        Hypotheses. A point where one is undefined does not meet it.
    timeout_s : float
        Seconds for all solver calls together; a solver may overrun it a little.
    kind, covers : str
        Passed on to the Evidence.

    Returns
    -------
    Evidence
        proved; refuted with data["witness"], rationals as text, confirmed by exact substitution into `relation` and
        `assume`; or undecided: time-out, solver's unknown, a function that is not covered, an unconfirmed point.

    Raises
    ------
    ArgumentError
        If the hypotheses cannot be met, a symbol is not real, or two different symbols share a name.
    MissingExtraError
        If SymPy or z3 is not installed.

    Examples
    --------
    >>> import sympy
    >>> k = sympy.Symbol("k", integer=True)
    >>> prove(4 * k * (k - 1) <= 2 * k**2, [k >= 1]).detail
    'false at k = 3: 24 <= 18'
    """
    try:
        from efcheck.evidence import _smt
    except ModuleNotFoundError as error:
        if error.name not in ("sympy", "z3"):
            raise
        hint = "pip install sympy z3-solver"
        raise MissingExtraError(f"`prove` must have SymPy and z3; got no module {error.name}. {hint}.") from error
    return _smt.decide(relation, assume, timeout_s, kind, covers)
