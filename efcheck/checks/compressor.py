"""check_compressor: everything that a compressor of anybody's must keep, and what it claims besides."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from efcheck.checks import _behaviour, _function, _guarantees, _unbiased, _wire
from efcheck.checks._globals import global_seed
from efcheck.checks._source import subject_of
from efcheck.checks._subject import DIMS, Subject
from efcheck.checks.report import CheckReport, Result, calling, run_checks, skipped

Check = Callable[[Subject], Result]

CHECKS: dict[str, Check] = {
    "sizes": _function.sizes,
    "empty": _function.empty,
    "dtype": _function.dtype,
    "input_kept": _function.input_kept,
    "no_alias": _function.no_alias,
    "zero": _function.zero,
    "finite": _function.finite,
    "nonfinite": _function.nonfinite,
    "half": _function.half,
    "layout": _function.layout,
    "batch": _behaviour.batch,
    "stateless": _behaviour.stateless,
    "randomness": _behaviour.randomness,
    **{f"{name}_equivariance": partial(_behaviour.symmetry, name=name) for name in _behaviour.SYMMETRIES},
    "contraction": _guarantees.contraction,
    "unbiased": _unbiased.unbiased,
    "omega": _guarantees.omega,
    "encode": _wire.encode,
    "bits": _wire.bits,
    "smaller": _wire.smaller,
}


def check_compressor(
    c: Any,
    delta: float | Callable[[int], float] | None = None,
    unbiased: bool | None = None,
    dims: Sequence[int] = DIMS,
    expected_failed: Mapping[str, str] | None = None,
    *,
    thorough: bool = False,
    seed: int = 0,
) -> CheckReport:
    """Check any callable (v, rng=None) -> v, NumPy or torch, against what it claims and what every compressor must keep.

        E||C(v) - v||^2 <= (1 - delta) ||v||^2      E C(v) = v      E||C(v)||^2 <= (1 + omega) ||v||^2

    Parameters
    ----------
    c : callable
        Its optional attributes are claims, too: delta(d), omega(d), bits(d), encode(v, rng), decode(payload, d),
        equivariant (names of "scale", "permutation", "sign"), stateful (each check then calls fresh deep copies),
        stochastic. A parameter named rng takes a NumPy generator, one named generator a torch one.
    delta : float in (0, 1], or callable d -> float, optional
        The claimed contraction, in place of c.delta. Without either the largest delta not contradicted is reported.
    unbiased : bool, optional
        Whether E C(v) = v is claimed; by default where c.omega is a number.
    dims : sequence of int
        Dimensions d >= 1. With the default a few odd ones are tried as well.
    expected_failed : mapping of str to str, optional
        Check name to the reason why it may fail; one that passes makes the report fail.
    thorough : bool
        Six times the draws and search steps.
    seed : int
        Another one gives the checks other inputs and draws.

    Returns
    -------
    CheckReport
        Iterating gives results with name, outcome, detail, reproduce; `str` is a table. A random compressor that keeps
        its claims fails with a chance of at most 1e-6. Equal seeds give equal numbers, unless a call takes more than
        1e-4 s, so that it is called less often, and in fewer d: `notes` says how much.

    Raises
    ------
    ArgumentError
        If an argument is outside its domain.

    Examples
    --------
    >>> from efcheck.compressors import TopK
    >>> report = check_compressor(TopK(0.5), delta=0.6, dims=(2, 4))
    >>> [r.name for r in report if r.outcome == "failed"]
    ['contraction']
    """
    return report(c, delta, unbiased, dims, expected_failed, thorough, seed)


def report(
    c: Any,
    delta: float | Callable[[int], float] | None = None,
    unbiased: bool | None = None,
    dims: Sequence[int] = DIMS,
    expected_failed: Mapping[str, str] | None = None,
    thorough: bool = False,
    seed: int = 0,
    source: str | None = None,
    title: str | None = None,
) -> CheckReport:
    """As check_compressor; `source` defines c in snippets, `title` names it."""
    with _quiet():
        subject = Subject(c, delta, unbiased, dims, thorough, source, seed)
        checks = [(name, partial(_run, name, subject)) for name in CHECKS]
        return replace(run_checks(title or subject_of(c), checks, expected_failed), notes=subject.notes())


def check_named(name: str, c: Any, **claims: Any) -> Result:
    """One check of a compressor by its name; claims as in check_compressor."""
    with _quiet():
        return next(iter(run_checks(subject_of(c), [(name, partial(_run, name, Subject(c, **claims)))])))


def _run(name: str, s: Subject) -> Result:
    if name != "sizes" and not s.dims:
        return skipped("no d of dims works: see sizes")
    s.renew()
    with calling():
        return CHECKS[name](s)


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of the code under test are no failures, its outputs are looked at; the global generators are put back."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), global_seed(0):
        warnings.simplefilter("ignore")
        yield
