"""Look for an exact instance that exceeds one of the paper's bounds; NumPy, SciPy and SymPy load at the first call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from efcheck.errors import MissingExtraError, argument_error, integer, real
from efcheck.evidence.evidence import Evidence

Progress: TypeAlias = Callable[[str, int, int], None]
SEARCHES = ("both", "families", "programs")


def _silent(name: str, done: int, total: int) -> None:
    pass


def falsify(
    bound: str,
    form: str = "printed",
    scale: Any = 1,
    minutes: float = 10.0,
    seed: int = 0,
    progress: Progress = _silent,
    by: str = "both",
) -> Evidence:
    """Search for a run where left side > scale * right side, and confirm it on Fractions.

    families: every point of a grid of round parameters of a low-dimensional run, T up to thousands, is run in floats; the best
    are moved to increase the ratio of left to right side, and rounded. Of the runs above 1 the simplest one (few digits, small
    T) that is confirmed is the instance: every hypothesis of the bound (smoothness, sigma, delta of every message, the step
    size) is checked on Fractions.

    programs: semidefinite, over all functions and compressors, without noise. The ratio of worst case to right side is scanned
    over T up to 16, q = sqrt(1 - delta) and gamma L (or R), and over runs of up to 60 steps that go round; the point of the
    largest is refined and, where it is above 1, shrunk to few steps and round numbers and replayed on Fractions.

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
    by : "both", "families" or "programs"
        Which search. Of two violations that is told of which every hypothesis is known to hold everywhere, then that of fewer
        steps. The programs need the extra worst-case; where it is missing, or no program is about the bound, "both" is the
        families alone, and data["scans"] says so.

    Returns
    -------
    Evidence
        refuted (kind `witness`): data["instance"] in JSON, see `recheck`; data["ratio"], left over right. supported (`search`,
        of programs alone `sdp`): none above 1, data["ratio"] is the largest. undecided: one above, which could not be
        confirmed, an answer that does not count, or the time ran out. data["scans"]: what each search did, in a line.

    Raises
    ------
    ArgumentError
        If there is no such bound or form, a number is outside its range, or no program is about the bound (by programs).
    MissingExtraError
        By programs alone: without PEPit or a solver.

    Examples
    --------
    >>> falsify("remark-6-sgd").outcome
    'refuted'
    """
    from efcheck.evidence import _falsify_sdp, _falsify_search
    from efcheck.evidence._falsify_target import multiplier, target

    goal, factor = target(bound, form), multiplier(scale)
    limit, seed = real("minutes", minutes, 0, open_ends=True), integer("seed", seed, 0)
    if by not in SEARCHES:
        raise argument_error("by", f"be one of {', '.join(SEARCHES)}", by)
    begun, why = time.monotonic(), _falsify_sdp.reason(goal)
    if by == "programs":
        return _together([_falsify_sdp.search(goal, factor, limit, progress)])
    found = [_falsify_search.search(goal, factor, limit, seed, progress)]
    if by == "both" and not why:
        try:
            found.append(_falsify_sdp.search(goal, factor, limit - (time.monotonic() - begun) / 60, progress))
        except MissingExtraError as error:
            why = str(error)
    return _together(found, *([f"no programs: {why}"] if why and by == "both" else []))


def _together(found: list[Evidence], *without: str) -> Evidence:
    """The confirmed violation of fewer steps, else what all searches say. `without`: why one did not run."""
    refuted = [e for e in found if e.outcome == "refuted"]
    chosen = min(refuted, key=lambda e: (bool(e.data.get("unsaid")), e.data["T"]), default=found[0])
    outcome = "undecided" if not refuted and any(e.outcome == "undecided" for e in found) else chosen.outcome
    detail = chosen.detail if refuted else "; ".join([*(e.detail for e in found), *without])
    scans = {"scans": [*(e.data["scan"] for e in found), *without]}
    return replace(chosen, outcome=outcome, detail=detail, data={**chosen.data, **scans}, seconds=sum(e.seconds for e in found))


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
