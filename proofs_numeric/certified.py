r"""Worst cases of Lemma 3 and Theorem III by exact certificates: a second proof of the sharp forms, for some T and delta.

Statement   For each (T, delta) below the largest E||e_T||^2, and the largest E f(xbar_T) - f* at gamma = R/(sigma (T+1)), is
            the sharp form of Lemma 3, of Theorem III, to within a part in 10^5.
Source      Section 4, Lemma 3 and Theorem III (the sharp forms are ours)
Idea        From above: the multipliers in certificates/*.json, found by a semidefinite program and rounded to rationals, are
            checked exactly; they add up the hypotheses to the bound, with no induction over t and no Minkowski inequality, so
            they share nothing with the proofs in lemma_3.py and theorem_3_sharp.py. From below: C(p) = (1 - q) p on f = sigma
            |x|, in Fractions, where q = sqrt(1 - delta) is rational.
Conventions e in the unit of x. T counts the steps before e_T, and x_0, ..., x_T are T + 1 iterates. The bounds hold in
            expectation as well: a certificate only adds inequalities.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import Any

from efcheck.claims import Claim, main, thorough
from efcheck.evidence import Evidence, certificate, exact, worst_case

FOLDER = Path(__file__).with_name("certificates")
CLOSE = Fraction(1, 10**5)
LETTERS = ("delta", "gamma", "sigma")


@lru_cache
def stored(statement: str) -> list[Any]:
    """The certificates of `statement`, in the order of their files' names."""
    found = [certificate.parse(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))]
    return [one for one in found if one["statement"] == statement]


def share_kept(delta: Fraction) -> Fraction:
    """q = sqrt(1 - delta), where it is rational."""
    rest = 1 - delta
    root = Fraction(isqrt(rest.numerator), isqrt(rest.denominator))
    if root**2 != rest:
        raise ValueError(f"sqrt(1 - {delta}) is not rational")
    return root


def run(found: Any, steps: int) -> tuple[Any, Any]:
    """x_0, ... and e_0, ... of EF-SGD on sigma |x| from R, or from far away where there is no R, with C(p) = (1 - q) p."""
    delta, gamma, sigma = (Fraction(found["parameters"][name]) for name in LETTERS)
    q = share_kept(delta)
    start = Fraction(found["parameters"].get("R", gamma * sigma * (steps + 1)))
    return exact.ef_sgd(lambda t, x: (sigma if x[0] > 0 else -sigma,), (start,), [gamma] * steps, lambda p: ((1 - q) * p[0],))


def largest_memory(found: Any) -> tuple[Fraction, Fraction]:
    """||e_T||^2 of that run, and the sharp form of Lemma 3."""
    delta, gamma, sigma = (Fraction(found["parameters"][name]) for name in LETTERS)
    q, (_, es) = share_kept(delta), run(found, found["T"])
    return Fraction(es[-1][0] ** 2), (gamma * sigma * q * (1 - q ** found["T"]) / (1 - q)) ** 2


def largest_gap(found: Any) -> tuple[Fraction, Fraction]:
    """f(xbar_T) - f* of that run, and the sharp form of Theorem III; R = gamma sigma (T + 1), or there is no equality."""
    delta, gamma, sigma = (Fraction(found["parameters"][name]) for name in LETTERS)
    q, n, R, (xs, _) = share_kept(delta), found["T"] + 1, Fraction(found["parameters"]["R"]), run(found, found["T"])
    memories = sum((q * (1 - q**t) / (1 - q) for t in range(n)), Fraction(0))
    sharp = R**2 / (2 * gamma * n) + gamma * sigma**2 * (Fraction(1, 2) + memories / n)
    return sigma * abs(sum((x for (x,) in xs), Fraction(0)) / n), sharp


def cases(statement: str) -> str:
    """T and delta of the certificates, in words."""
    pairs = sorted((one["T"], Fraction(one["parameters"]["delta"])) for one in stored(statement))
    return "for (T, delta) = " + ", ".join(f"({T}, {delta})" for T, delta in pairs)


def verified(statement: str) -> Evidence:
    """Every stored certificate is checked, none may be rejected."""
    found = stored(statement)
    for one in found:
        try:
            certificate.verify(one)
        except certificate.Rejected as error:
            return Evidence("exact", "undecided", f"T = {one.get('T')}, {one.get('parameters')}: {error}", covers="from above")
    detail = f"{len(found)} certificates hold, e.g. {certificate.statement(found[-1])}"
    data = {certificate.statement(one): one["bound"] for one in found}
    return Evidence("exact", "proved" if found else "undecided", detail, data, covers="from above")


def attained(statement: str, values: Any) -> Evidence:
    """In Fractions: the run of each certificate has the sharp form's value, and the bound is at most 10^-5 of it above."""
    found = [(Fraction(one["bound"]), *values(one)) for one in stored(statement)]
    excess = [bound / value - 1 for bound, value, _ in found]
    same = bool(found) and all(value == sharp for _, value, sharp in found)
    if any(value > bound for bound, value, _ in found):
        outcome = "refuted"
    else:
        outcome = "proved" if same and max(excess) <= CLOSE else "undecided"
    detail = f"bound over attained value - 1: at most {float(max(excess, default=Fraction(0))):.1e} in {len(excess)} cases"
    return Evidence("exact", outcome, detail, covers="from below")


def solved_anew(statement: str, quantity: str) -> Evidence:
    """A solver's value for the function class itself (points, values, subgradients), to 10^-5 of the certified bound."""
    far = []
    for one in stored(statement):
        values = {name: Fraction(text) for name, text in one["parameters"].items()}
        found = worst_case(quantity, T=one["T"], **{name: float(value) for name, value in values.items()})
        if found.outcome != "supported":
            return found.covering("from above")
        far.append(abs(float(found.data["value"]) / float(Fraction(one["bound"])) - 1))
    outcome = "supported" if far and max(far) <= CLOSE else "refuted"  # gap and residuals are below 10^-6
    return Evidence("sdp", outcome, f"farthest of {len(far)} worst cases: {max(far):.1e} of the bound", covers="from above")


memory = Claim(
    "lemma-3-certified",
    "Section 4, Lemma 3 (ours: the best constant, by certificates)",
    f"{cases('lemma-3')} the largest E||e_T||^2 is gamma^2 sigma^2 (q (1 - q^T)/(1 - q))^2, q = sqrt(1 - delta), "
    "to a part in 10^5",
)


@memory.printed
def no_memory_is_larger() -> Evidence:
    return verified("lemma-3")


@memory.printed
def a_run_has_that_memory() -> Evidence:
    return attained("lemma-3", largest_memory)


@memory.printed
@thorough
def a_solver_finds_the_same_memory() -> Evidence:
    return solved_anew("lemma-3", "error_norm")


suboptimality = Claim(
    "theorem-3-certified",
    "Section 4, Theorem III (ours: the best constant, by certificates)",
    f"{cases('theorem-3')} and gamma = R/(sigma (T+1)) the largest E f(xbar_T) - f* is R^2/(2 gamma (T+1)) + gamma sigma^2 "
    "[1/2 + (1/(T+1)) sum_{t=0}^T q (1 - q^t)/(1 - q)], q = sqrt(1 - delta), to a part in 10^5",
)


@suboptimality.printed
def no_gap_is_larger() -> Evidence:
    return verified("theorem-3")


@suboptimality.printed
def a_run_has_that_gap() -> Evidence:
    return attained("theorem-3", largest_gap)


@suboptimality.printed
@thorough
def a_solver_finds_the_same_gap() -> Evidence:
    return solved_anew("theorem-3", "suboptimality")


if __name__ == "__main__":
    main(__file__)
