"""Search for a violation of an inequality over a box; SciPy and mpmath load at the first call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from efcheck.errors import integer
from efcheck.evidence.evidence import Evidence


def search(gap: Callable[[Any], Any], box: Sequence[Any] | Mapping[str, Any], budget: int = 20_000, seed: int = 0) -> Evidence:
    """Look for a point of the box where gap < 0, confirm it, and shrink it to round numbers.

        the claim: gap(x) >= 0 for every x in the box where gap is finite

    Half of the budget fills the box evenly (scrambled Sobol); an eighth tries corners, edges, the neighbourhood of ends
    and of 0, round numbers and ties; the rest goes to differential evolution and Nelder-Mead from many starts.

    Parameters
    ----------
    gap : callable
        X of shape (n, d), one point a row in the order of the axes, to (n,). Right side minus left side of the claim.
        Called with float64 rows and, to confirm a violation, with object rows of 50-digit mpmath numbers, on which
        arithmetic, comparisons and np.sqrt, np.exp, np.log, ... work; do not cast X to float if that is to help.
    box : sequence of axes, or dict name -> axis
        An axis is (low, high), ends included; (low, high, "log") spreads it evenly in log x, low > 0; (low, high,
        "integer") takes whole numbers; (low, high, "log", "integer") both. Without names they are x0, x1, ...
    budget : int
        Evaluations of gap in the search, >= 100. Confirming and shrinking a violation takes further ones, counted in
        data["extra_evaluations"].
    seed : int
        Equal seeds give equal evidence.

    Returns
    -------
    Evidence
        Kind `search`. refuted: data["witness"], name -> number as text, a point where gap = data["gap"] < 0. That is
        confirmed at 50 and 80 digits, whatever the rounding of float constants in gap; or, where gap does not take mpmath
        numbers, by a margin: 1e-9 times the largest |gap| of the even filling, 1e-14, and 100 times what gap varies
        next to the point. supported: no violation beyond rounding. undecided: gap is finite nowhere, or a violation could
        not be confirmed. Points where gap is not finite are counted and told.

    Raises
    ------
    ArgumentError
        If an axis, the budget or the shape of gap's answer is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> def gap(X):
    ...     a, b = X.T
    ...     return a**2 + b**2 - 2.02 * a * b
    >>> found = search(gap, {"a": (0, 10), "b": (0, 10)}, budget=1000)
    >>> found.outcome, found.data["witness"]
    ('refuted', {'a': '1', 'b': '1'})
    >>> search(lambda X: X[:, 0] - np.log1p(X[:, 0]), [(0, 1e6)], budget=1000).outcome
    'supported'
    """
    from efcheck.evidence import _search

    return _search.decide(gap, box, integer("budget", budget, 100), integer("seed", seed, 0))
