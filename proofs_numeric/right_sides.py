r"""The right-hand sides under audit are the printed ones, entered twice; those of the remarks follow from the theorems.

Statement   The displayed bounds of Lemma 3, Theorems II and III, Remarks 4, 5, 6 and 10; their corrected and sharp forms.
Source      Sections 4 and 5.1, B.2 to B.6
Idea        All checks take their bounds from one place, `efcheck.bounds`. A slip of the pen there would be audited in place
            of the paper: here the displays are typed once more from the paper, and every remark is derived from its theorem
            by the step size that it names. The sharp forms are sums of geometric series: for T = 0, ..., 3 they are summed.
Conventions q = sqrt(1 - delta), n = T + 1.
"""

from __future__ import annotations

from typing import Any

from sympy import And, Eq, Integer, Rational, Symbol, simplify, sqrt

from efcheck import bounds
from efcheck.bounds import L, R, T, delta, f0, gamma, k, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

q = Symbol("q", positive=True)
root = Symbol("r", positive=True)  # sqrt(T + 1)


def same(left: Any, right: Any) -> Any:
    """left = right as algebra: delta = 1 - q^2, T + 1 = r^2."""
    difference = (left - right).subs({delta: 1 - q**2, T: root**2 - 1})
    return Eq(simplify(difference), 0)


def at(side: Any, **values: Any) -> Any:
    """The right-hand side with letters replaced."""
    return side.expression.subs(
        {letter: values[letter.name] for letter in side.expression.free_symbols if letter.name in values}
    )


quoted = Claim(
    "right-sides-printed",
    "Section 4, Lemma 3, Theorems II and III, Remarks 4 to 6; Section 5.1, Remark 10",
    "the bounds under audit are the displayed ones",
)


@quoted.printed
def of_lemma_3_and_remark_10() -> Evidence:
    display = 4 * (1 - delta) * gamma**2 * sigma**2 / delta**2
    both = And(same(bounds.LEMMA_3.printed.expression, display), same(bounds.REMARK_10.printed.expression, display))
    return prove(both, [q < 1], kind="identity", covers="Lemma 3, Remark 10")


@quoted.printed
def of_theorem_2_and_remark_4() -> Evidence:
    theorem = 2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 / 2 + 4 * gamma**2 * L**2 * sigma**2 * (1 - delta) / delta**2
    remark = (4 * f0 + L * sigma**2) / (2 * sqrt(T + 1)) + 4 * L**2 * sigma**2 * (1 - delta) / (delta**2 * (T + 1))
    sgd = (2 * f0 + L * sigma**2) / (2 * sqrt(T + 1))
    pairs = ((bounds.THEOREM_2, theorem), (bounds.REMARK_4, remark), (bounds.REMARK_4_SGD, sgd))
    return prove(
        And(*(same(b.printed.expression, r) for b, r in pairs)), [q < 1], kind="identity", covers="Theorem II, Remark 4"
    )


@quoted.printed
def of_remark_5() -> Evidence:
    feedback = (4 * f0 + L * sigma**2) / (2 * sqrt(T + 1)) + 2 * L**2 * sigma**2 * k**2 / (T + 1)
    plain = (f0 + k * L * sigma**2) / (2 * sqrt(T + 1))
    pairs = ((bounds.REMARK_5, feedback), (bounds.REMARK_5_PLAIN, plain))
    return prove(And(*(same(b.printed.expression, r) for b, r in pairs)), [q < 1], kind="identity", covers="Remark 5")


@quoted.printed
def of_theorem_3_and_remark_6() -> Evidence:
    theorem = R**2 / (2 * gamma * (T + 1)) + gamma * sigma**2 * (Rational(1, 2) + 2 * sqrt(1 - delta) / delta)
    remark = R * sigma / (2 * sqrt(T + 1)) * sqrt(1 + 4 * sqrt(1 - delta) / delta)
    sgd = R * sigma / (2 * sqrt(T + 1))
    pairs = ((bounds.THEOREM_3, theorem), (bounds.REMARK_6, remark), (bounds.REMARK_6_SGD, sgd))
    equal = And(*(same(b.printed.expression, r) for b, r in pairs))
    return prove(equal, [q < 1], kind="identity", covers="Theorem III, Remark 6")


derived = Claim(
    "right-sides-derived",
    "Section 4, Remarks 4, 5 and 6 (corrected and sharp forms)",
    "Remark 4 is Theorem II at gamma = 1/sqrt(T+1), Remark 5 that at delta = 1/k, Remark 6 Theorem III at its best gamma",
)
LAST = range(4)  # T of the forms whose exponent is T


@derived.printed
def remarks_4_and_5() -> Evidence:
    """delta = 1/k has q^2 = 1 - 1/k; the plain forms, delta = 1 and sigma^2 -> k sigma^2, are half of B.4's 2 (f0 + ...)."""
    theorem, slow = bounds.THEOREM_2, 1 / sqrt(T + 1)
    corrected = same(bounds.REMARK_4.repaired.expression, at(theorem.repaired, gamma=slow))
    smaller = same(bounds.REMARK_5.repaired.expression, at(theorem.repaired, gamma=slow, delta=1 / k))
    more = at(bounds.REMARK_4_SGD.repaired, sigma=sqrt(k) * sigma)
    facts = [corrected, smaller, same(bounds.REMARK_5_PLAIN.repaired.expression, more)]
    for n in LAST:
        step = {"gamma": 1 / sqrt(Integer(n + 1)), "T": n}
        facts.append(same(at(bounds.REMARK_4.sharp, T=n), at(theorem.sharp, **step)))
        facts.append(Eq(simplify(at(bounds.REMARK_5.sharp, T=n) - at(theorem.sharp, **step).subs(delta, 1 / k)), 0))
    return prove(And(*facts), [q < 1], kind="identity", covers="Remarks 4 and 5")


@derived.printed
def remark_6() -> Evidence:
    """A/gamma + B gamma >= 2 sqrt(A B), equal at gamma = sqrt(A/B): the square of the remark is 4 A B."""
    theorem = bounds.THEOREM_3

    def least2(side: Any, n: Any) -> Any:
        rest = at(side, T=n)
        return 4 * rest.subs(sigma, 0) * rest.subs(R, 0)

    last = root**2 - 1
    facts = [same(bounds.REMARK_6.repaired.expression**2, least2(theorem.printed, last))]
    facts.append(same(bounds.REMARK_6_SGD.repaired.expression**2, least2(theorem.printed, last).subs(delta, 1)))
    facts += [same(at(bounds.REMARK_6.sharp, T=n) ** 2, least2(theorem.sharp, n)) for n in LAST]
    return prove(And(*facts), [q < 1], kind="identity", covers="Remark 6")


@derived.printed
def theorem_2_has_one_term_corrected() -> Evidence:
    """L gamma sigma^2 in place of L gamma sigma^2/2; the others hold as printed."""
    facts = [same(bounds.THEOREM_2.repaired.expression, bounds.THEOREM_2.printed.expression + gamma * L * sigma**2 / 2)]
    facts += [same(b.repaired.expression, b.printed.expression) for b in (bounds.LEMMA_3, bounds.THEOREM_3, bounds.REMARK_10)]
    return prove(And(*facts), [q < 1], kind="identity", covers="Theorem II")


@derived.printed
def sharp_forms_are_sums() -> Evidence:
    """||e_t|| <= gamma sigma E_t, E_t = q + ... + q^t; Theorem II has the mean of E_0^2, ..., E_T^2, Theorem III of E_t."""
    errors = [sum((q**i for i in range(1, s + 1)), Integer(0)) for s in range(len(LAST))]
    facts = []
    for n in LAST:
        for bound in (bounds.LEMMA_3, bounds.REMARK_10):
            facts.append(same(at(bound.sharp, t=n), gamma**2 * sigma**2 * errors[n] ** 2))
        square, mean = (sum((e**p for e in errors[: n + 1]), Integer(0)) / (n + 1) for p in (2, 1))
        smooth = at(bounds.THEOREM_2.sharp, T=n)
        facts.append(same(smooth, 2 * f0 / (gamma * (n + 1)) + gamma * L * sigma**2 + gamma**2 * L**2 * sigma**2 * square))
        convex = at(bounds.THEOREM_3.sharp, T=n)
        facts.append(same(convex, R**2 / (2 * gamma * (n + 1)) + gamma * sigma**2 * (Rational(1, 2) + mean)))
    return prove(And(*facts), [q < 1], kind="identity", covers="sharp, T = 0, ..., 3")


if __name__ == "__main__":
    main(__file__)
