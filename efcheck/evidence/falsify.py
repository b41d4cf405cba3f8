"""Look for an exact instance that exceeds one of the paper's bounds; NumPy, SciPy and SymPy load at the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from efcheck.errors import integer, real
from efcheck.evidence.evidence import Evidence

Progress: TypeAlias = Callable[[str, int, int], None]


def _silent(name: str, done: int, total: int) -> None:
    pass


def falsify(
    bound: str, form: str = "printed", scale: Any = 1, minutes: float = 10.0, seed: int = 0, progress: Progress = _silent
) -> Evidence:
    """Search low-dimensional families of runs for one where left side > scale * right side, and confirm it on Fractions.

    Every point of a grid of round parameters is run in floats, all T at once; the best are moved to increase the ratio of left
    to right side, and rounded. Of the runs above 1 the simplest one (few digits, small T) that is confirmed is the instance:
    every hypothesis of the bound (smoothness, sigma, delta of every message, the step size) is checked on Fractions.

    Parameters
    ----------
    bound : str
        A name of `efcheck.bounds`, or of a reading of one: theorem-2-index (the minimum over t = 1, ..., T, with the repaired
        right side), theorem-3-average (the sum over T + 1 points divided by T). remark-5 is read as derived, from Remark 4 for
        every C with delta = 1/k; remark-5-unbiased is about C = U/k alone, U unbiased.
    form : "printed", "repaired" or "sharp"
        Which right side.
    scale : int, Fraction, float or text
        Multiplies the right side, in [1e-100, 1e100]; a float is the decimal that it prints. 99/100 asks whether a bound that
        holds is tight to 1 %.
    minutes : float
        No new runs after that, > 0.
    seed : int
        Equal seeds give equal evidence, unless the time ran out.
    progress : callable
        Called with what was done last, the number of scans done, and of all.

    Returns
    -------
    Evidence
        refuted (kind `witness`): data["instance"] in JSON, see `recheck`; data["ratio"], left over right. supported (`search`):
        none above 1 + 1e-9, data["ratio"] is the largest. undecided: one above, which could not be confirmed, or the time
        ran out.

    Raises
    ------
    ArgumentError
        If there is no such bound or form, or a number is outside its range.

    Examples
    --------
    >>> falsify("remark-6-sgd").outcome
    'refuted'
    """
    from efcheck.evidence import _falsify_search
    from efcheck.evidence._falsify_target import multiplier, target

    goal, factor = target(bound, form), multiplier(scale)
    limit = real("minutes", minutes, 0, open_ends=True)
    return _falsify_search.search(goal, factor, limit, integer("seed", seed, 0), progress)


def recheck(data: Any, right: Any = None) -> Evidence:
    """Run a stored instance again on Fractions, with every hypothesis checked; kind `witness`.

    Parameters
    ----------
    data : dict
        The JSON object that `efcheck falsify` writes. Its left and right sides are not read, but computed anew.
    right : SymPy expression, optional
        The right side to compare with, in the symbols of `efcheck.bounds`, in place of the one that the instance is about.

    Returns
    -------
    Evidence
        refuted if left > right within the hypotheses; else undecided: one run that exceeds nothing supports no bound.

    Raises
    ------
    ArgumentError
        If it is no such object.
    """
    from efcheck.evidence._falsify_instance import read

    instance = read(data)
    return (instance if right is None else instance.against(right)).evidence()
