"""Tests with an exact finite-sample error probability."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from efcheck.errors import argument_error, real
from efcheck.evidence.evidence import Evidence


def dkw(
    sample: ArrayLike, support: ArrayLike, probabilities: Sequence[Any], alpha: float = 1e-6, tol: float = 1e-9
) -> Evidence:
    """Test that independent draws have a given discrete law.

        P( sup_x |F_n(x) - F(x)| > eps ) <= 2 exp(-2 n eps^2),   eps = sqrt(ln(2/alpha) / (2 n))

    Parameters
    ----------
    sample : (n,) array
        Independent draws, finite.
    support : (m,) array
        The values of the law, strictly increasing, further apart than twice `tol` times the largest magnitude.
    probabilities : (m,) sequence
        Fractions or floats >= 0, sum 1 (exactly for Fractions, within m eps for floats).
    alpha : float
        Chance that a true law is refuted, in (0, 1).
    tol : float
        A draw counts as the nearest support value within `tol` times the largest magnitude in `support`.

    Returns
    -------
    Evidence
        Kind `statistics`. refuted: a draw off the support, or a distance above eps; supported: neither; undecided: too
        few draws (eps >= 1) to refute any law.

    Raises
    ------
    ArgumentError
        If an argument is outside the domain above.

    Examples
    --------
    >>> dkw([0.0, 1.0] * 50, [0.0, 1.0], [Fraction(1, 2), Fraction(1, 2)]).outcome
    'supported'

    Source
    ------
    Massart 1990, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality"; it holds for every law F.
    """
    start = time.perf_counter()
    alpha = real("alpha", alpha, 0.0, 1.0, open_ends=True)
    tol = real("tol", tol, 0.0)
    draws, values = _finite("sample", sample), _finite("support", support)
    if len(probabilities) != len(values):
        raise argument_error("probabilities", f"have {len(values)} entries, as `support`", str(len(probabilities)))
    scale = float(np.max(np.abs(values)))
    close = np.flatnonzero(np.diff(values) <= 2 * tol * scale)
    if close.size:
        i = int(close[0]) + 1
        expected = "be strictly increasing, in steps above twice the tolerance"
        raise argument_error("support", expected, f"{values[i - 1]:g}, {values[i]:g} at index {i - 1}, {i}")
    cumulative = _cumulative(probabilities)

    n = len(draws)
    upper = np.clip(np.searchsorted(values, draws), 1 if len(values) > 1 else 0, len(values) - 1)
    lower = np.maximum(upper - 1, 0)
    nearest = np.where(np.abs(draws - values[lower]) <= np.abs(draws - values[upper]), lower, upper)
    off = np.abs(draws - values[nearest])
    empirical = np.cumsum(np.bincount(nearest, minlength=len(values))) / n
    distance = float(np.max(np.abs(empirical - cumulative)))  # both are constant between support values
    threshold = math.sqrt(math.log(2 / alpha) / (2 * n))
    data: dict[str, Any] = {"n": n, "distance": distance, "threshold": threshold, "alpha": alpha}
    worst = int(np.argmax(off))
    if off[worst] > tol * scale:
        outcome, detail = "refuted", f"draw {worst} is {draws[worst]:.17g}, off the support by {off[worst]:.3g}"
        data["off_support"] = float(off[worst])
    elif distance > threshold:
        outcome = "refuted"
        detail = f"sup|F_n - F| = {distance:.4g} > {threshold:.4g} for n = {n}; false alarm with chance <= {alpha:g}"
    elif threshold >= 1:
        outcome, detail = "undecided", f"n = {n} draws are too few to refute any law at alpha = {alpha:g}"
    else:
        outcome, detail = (
            "supported",
            f"sup|F_n - F| = {distance:.4g} <= {threshold:.4g} for n = {n}, alpha = {alpha:g}",
        )
    return Evidence("statistics", outcome, detail, data, seconds=time.perf_counter() - start)


def _finite(name: str, values: ArrayLike) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise argument_error(name, "have shape (n,) with n >= 1", str(array.shape))
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise argument_error(name, "be finite", f"{array[bad[0]]} at index {bad[0]}")
    return array


def _cumulative(probabilities: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    exact: list[Fraction] = []
    for i, p in enumerate(probabilities):
        try:
            exact.append(Fraction(p) if isinstance(p, (int, Fraction)) else Fraction(float(p)))
        except (TypeError, ValueError, OverflowError):
            raise argument_error(f"probabilities[{i}]", "be a number in [0, 1]", p) from None
        if not 0 <= exact[-1] <= 1:
            raise argument_error(f"probabilities[{i}]", "be a number in [0, 1]", p)
    total, rounded = sum(exact, Fraction(0)), not all(isinstance(p, (int, Fraction)) for p in probabilities)
    slack = Fraction(len(exact) * 2.0**-52) if rounded else Fraction(0)  # each float <= 1 is off by at most eps
    if abs(total - 1) > slack:
        raise argument_error("probabilities", "sum to 1", f"{float(total):.17g}")
    sums, running = [], Fraction(0)
    for p in exact:
        running += p
        sums.append(float(running))
    return np.array(sums)
