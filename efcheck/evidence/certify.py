r"""Making the certificates that `certificate` checks: a small semidefinite program, its multipliers rounded to decimals.

    minimise   r R^2 + sigma^2 sum b_t   over a, b, r >= 0   such that   Q(a, b, r) - mu I is positive semidefinite

with Q, the letters and the two statements as in certificate.py. Its optimum at mu = 0 is the worst case over all vectors that
meet the hypotheses: for lemma-3 the worst case itself, for theorem-3 so at gamma = R/(sigma (T+1)), and elsewhere up to a
few 10^-3 above it, since convexity is used between x* and the iterates only, which keeps the proof valid in expectation.

The margin mu > 0 absorbs the rounding, and is raised until the exact checker accepts. Solved at gamma = sigma = 1, where R is
counted in gamma sigma; the multipliers are then scaled exactly: lemma-3 by (a, b) = (a, gamma^2 b), theorem-3 by (a, b, r) =
(a/gamma, gamma b, r/gamma), since ||e||^2 has the unit gamma^2 sigma^2 and f that of gamma sigma^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.errors import EfcheckError, MissingExtraError, argument_error, integer
from efcheck.evidence import certificate
from efcheck.evidence.exact import rational

_DIGITS = 12  # after the point
_MARGINS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


def certify(
    statement: str,
    T: int,
    delta: Fraction,
    gamma: Fraction = Fraction(1),
    sigma: Fraction = Fraction(1),
    R: Fraction | None = None,
) -> dict[str, Any]:
    """A certificate of the worst case of `statement`, accepted by `certificate.verify`; write it with json.dump.

    Parameters
    ----------
    statement : "lemma-3" (bound on E||e_T||^2) or "theorem-3" (bound on E f(xbar_T) - f*)
    T : int in [0, 60]
    delta, gamma, sigma, R : Fraction or int
        0 < delta <= 1, the others > 0; R = ||x_0 - x*|| for theorem-3 alone.

    Raises
    ------
    ArgumentError
        One line, for anything else.
    EfcheckError
        Where no margin leads to an accepted certificate.
    MissingExtraError
        Without the extra worst-case.
    """
    if statement not in ("lemma-3", "theorem-3"):
        raise argument_error("statement", "be lemma-3 or theorem-3", statement)
    integer("T", T, 0, certificate.LONGEST)
    if (R is None) == (statement == "theorem-3"):
        raise argument_error("R", "be given for theorem-3 and for it alone", R)
    values = {"delta": delta, "gamma": gamma, "sigma": sigma} | ({} if R is None else {"R": R})
    exact = {name: rational(name, value) for name, value in values.items()}
    for name, value in exact.items():
        if value <= 0 or (name == "delta" and value > 1):
            raise argument_error(name, "be in (0, 1]" if name == "delta" else "be > 0", str(value))
    size = exact["R"] / (exact["gamma"] * exact["sigma"]) if "R" in exact else Fraction(1)
    if not Fraction(1, 10**6) <= size <= 10**6:
        raise argument_error("R", "be between 10^-6 and 10^6 times gamma sigma", f"{float(size):.3g} times")
    why = ""
    for margin in _MARGINS:
        found = _assembled(statement, T, exact, _solved(statement, T, exact["delta"], float(size), margin))
        try:
            certificate.verify(found)
        except certificate.Rejected as error:
            why = why or str(error)  # of the least margin, which asks for the least
            continue
        return found
    raise EfcheckError(f"no certificate was found for {statement} at T = {T}, delta = {delta}: {why}")


def read(file: Path) -> Any:
    """What is in a certificate's file; whether it proves anything is for `certificate.verify` to say.

    Raises ArgumentError for a file that is not JSON in UTF-8.
    """
    try:
        return certificate.parse(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise argument_error("FILE", "be JSON in UTF-8, each key once", f"{file}: {error}") from None


def _forms(statement: str, T: int, delta: Fraction) -> tuple[Array, dict[tuple[str, int], Array]]:
    """Q at gamma = 1 without multipliers, and what each multiplier adds to it: Q is affine in them."""
    theorem = statement == "theorem-3"
    lengths = {"moment": T + theorem, "compressor": T} | ({"start": 1} if theorem else {})

    def form(one: tuple[str, int] | None) -> Array:
        by = {name: [Fraction((name, t) == one) for t in range(length)] for name, length in lengths.items()}
        if theorem:
            by["convexity"] = [Fraction(1, T + 1)] * (T + 1)
        return np.array(certificate.quadratic_form(statement, T, delta, Fraction(1), by), dtype=float).reshape(
            -1, 2 * T + 2 * theorem
        )

    base = form(None)
    return base, {(name, t): form((name, t)) - base for name, length in lengths.items() for t in range(length)}


def _solved(statement: str, T: int, delta: Fraction, R: float, margin: float) -> dict[tuple[str, int], Fraction]:
    """The multipliers at gamma = sigma = 1, rounded."""
    if statement == "lemma-3" and (T == 0 or delta == 1):  # e_T = 0 by the last hypothesis alone
        last = {("compressor", t): Fraction(t == T - 1) for t in range(T)}
        return {("moment", t): Fraction(0) for t in range(T)} | last
    try:
        import cvxpy as cp
    except ImportError:
        raise MissingExtraError("certify needs cvxpy and clarabel: pip install efcheck[worst-case]") from None
    base, forms = _forms(statement, T, delta)
    unknown = {key: cp.Variable(nonneg=True) for key in forms}
    Q = base - margin * np.eye(len(base)) + sum(unknown[key] * form for key, form in forms.items())
    weights = {"moment": 1.0, "start": R**2, "compressor": 0.0}
    problem: Any = cp.Problem(cp.Minimize(sum(weights[key[0]] * v for key, v in unknown.items())), [Q >> 0])
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.error.SolverError:
        return dict.fromkeys(forms, Fraction(0))
    return {key: Fraction(round(max(float(v.value or 0), 0) * 10**_DIGITS), 10**_DIGITS) for key, v in unknown.items()}


def _assembled(
    statement: str, T: int, values: Mapping[str, Fraction], found: Mapping[tuple[str, int], Fraction]
) -> dict[str, Any]:
    gamma, sigma, theorem = values["gamma"], values["sigma"], statement == "theorem-3"
    scale = (
        {"compressor": 1 / gamma, "moment": gamma, "start": 1 / gamma}
        if theorem
        else {"compressor": Fraction(1), "moment": gamma**2}
    )
    by: dict[str, list[Fraction]] = {name: [] for name in scale}
    for (name, _), number in found.items():
        by[name].append(scale[name] * number)
    bound = sigma**2 * sum(by["moment"], Fraction(0)) + sum((r * values["R"] ** 2 for r in by.get("start", [])), Fraction(0))
    if theorem:
        by["convexity"] = [Fraction(1, T + 1)] * (T + 1)
    return {
        "format": certificate.FORMAT, "statement": statement, "T": T,
        "parameters": {name: text(value) for name, value in values.items()},
        "bound": text(bound), "multipliers": {name: [text(n) for n in numbers] for name, numbers in by.items()},
    }  # fmt: skip


def text(number: Fraction) -> str:
    """As a finite decimal where it is one, else as a quotient; exactly `number` either way.

    >>> text(Fraction(1, 8)), text(Fraction(-3)), text(Fraction(1, 7))
    ('0.125', '-3', '1/7')
    """
    rest, twos, fives = number.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or not places:
        return str(number)
    digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"
