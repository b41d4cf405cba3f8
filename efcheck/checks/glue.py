"""pytest: one test for each compressor and check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from efcheck.checks._source import subject_of
from efcheck.checks.compressor import CHECKS, check_named
from efcheck.errors import MissingExtraError, argument_error


def parametrize_with_checks(
    compressors: Iterable[Any], expected_failed: Mapping[str, str] | None = None, **claims: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the test runs once for each compressor and check, and calls `check(compressor)`.

    Parameters
    ----------
    compressors : iterable
        What check_compressor takes; named in test ids by their class or function.
    expected_failed : mapping of str to str, optional
        Check name to reason: a strict xfail.
    **claims
        delta, unbiased, dims, thorough, seed: as in check_compressor, for all of them.

    Raises
    ------
    ArgumentError
        If `expected_failed` names no check. MissingExtraError without pytest.

    Examples
    --------
    >>> from efcheck.compressors import ScaledSign
    >>> @parametrize_with_checks([ScaledSign()], dims=(1, 8))
    ... def test_compressors(compressor, check):
    ...     check(compressor)
    """
    try:
        import pytest
    except ImportError as error:
        raise MissingExtraError("parametrize_with_checks needs pytest: pip install pytest") from error
    expected = dict(expected_failed or {})
    for name in expected:
        if name not in CHECKS:
            raise argument_error("expected_failed", f"name checks, of {', '.join(CHECKS)}", str(name))
    cases = []
    for compressor, title in _titled(list(compressors)):
        for name in CHECKS:
            marks = [pytest.mark.xfail(strict=True, reason=expected[name])] if name in expected else []
            cases.append(pytest.param(compressor, partial(run_check, name, **claims), id=f"{title}-{name}", marks=marks))
    return pytest.mark.parametrize(("compressor", "check"), cases)


def run_check(name: str, compressor: Any, **claims: Any) -> None:
    """Run one check: an AssertionError with what reproduces the failure, or pytest's skip with the reason."""
    import pytest

    found = check_named(name, compressor, **claims)
    if found.outcome == "skipped":
        pytest.skip(found.detail)
    assert found.outcome == "passed", f"{name}: {found.detail}\n\n{found.reproduce}"


def _titled(compressors: Sequence[Any]) -> list[tuple[Any, str]]:
    titles = [subject_of(c) for c in compressors]
    return [
        (c, title if titles.count(title) == 1 else f"{title}-{i}")
        for i, (c, title) in enumerate(zip(compressors, titles, strict=True))
    ]
