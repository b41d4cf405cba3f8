r"""B.2, line by line: two of its equalities need an eta that is picked only later; that eta does not exist for delta = 1.

Statement   ||e_{t+1}||^2 <= (1-delta) ||e_t + gamma g_t||^2 <= (1-delta)(1+eta) ||e_t||^2 + gamma^2 (1-delta)(1+1/eta)
            ||g_t||^2 for any eta > 0; in expectation, a geometric series, = 2 (1-delta)(1+1/eta)/delta gamma^2 sigma^2; with
            eta = delta/(2(1-delta)), 1 + 1/eta = (2-delta)/delta <= 2/delta, <= 4 (1-delta)/delta^2 gamma^2 sigma^2.
Source      B.2, each display in turn
Idea        a = (1-delta)(1+eta) is below 1 iff eta < delta/(1-delta); else the series is infinite and its "sum" is not
            positive. The last equality is true for eta = delta/(2(1-delta)) and no other. Every other line is right, and so is
            the conclusion. With the best eta, (1-q)/q, the same series gives q^2/(1-q)^2: Young's inequality loses nothing, the
            eta of the proof and its last step lose a factor of up to 4.
Conventions q = sqrt(1-delta); m, n are root mean squares of e_t and g_t; b = (1-delta)(1+1/eta).
"""

from __future__ import annotations

from dataclasses import replace

from sympy import And, Eq, Implies, Rational, Symbol, symbols

from efcheck import bounds
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

SECTION = "B.2, Proof of bounded error (Lemma 3)"
delta = bounds.delta
eta = Symbol("eta", positive=True)
gamma, sigma = bounds.gamma, bounds.sigma
q = Symbol("q", nonnegative=True)
m, n, S = symbols("m n S", nonnegative=True)
HALF = Rational(1, 2)


def factor(d=delta, y=eta):
    """a, the factor of ||e_t||^2."""
    return (1 - d) * (1 + y)


def weight(d=delta, y=eta):
    """b, the factor of gamma^2 ||g_t||^2."""
    return (1 - d) * (1 + 1 / y)


def series(d=delta, y=eta):
    """The fourth line over gamma^2 sigma^2."""
    return weight(d, y) / (1 - factor(d, y))


def last(d=delta, y=eta):
    """The last line over gamma^2 sigma^2."""
    return 2 * weight(d, y) / d


def picked(d=delta):
    """The eta of the proof."""
    return d / (2 * (1 - d))


def partial_sum(ratio, first: int, terms: int):
    """sum of ratio^i over `terms` powers from `first` on."""
    return sum((ratio**i for i in range(first, first + terms)), Rational(0))


# -- the recurrence ------------------------------------------------------------------------------------------------------------

display = Claim(
    "lemma-3-proof-display",
    SECTION,
    "||e_{t+1}||^2 = ||C(p_t) - p_t||^2 <= (1-delta) ||p_t||^2 = (1-delta) ||e_t + gamma g_t||^2",
)


@display.printed
def both_equalities() -> Evidence:
    """e_{t+1} = p_t - C(p_t), p_t = gamma g_t + e_t: one coordinate; the inequality is Assumption A at x = p_t in Q."""
    e, g, sent = symbols("e g Delta", real=True)
    p = gamma * g + e
    after = p - sent
    return prove(And(Eq(after**2, (sent - p) ** 2), Eq(p**2, (e + gamma * g) ** 2)), kind="identity")


random = Claim(
    "lemma-3-proof-display-random",
    "B.2 with Assumption A (randomized compressors are allowed, in expectation)",
    "||e_{t+1}||^2 <= (1-delta) ||p_t||^2 [for a randomized compressor too, as printed without an expectation]",
    repaired="E[||e_{t+1}||^2 | p_t] <= (1-delta) ||p_t||^2; the later lines, which have expectations, then hold as printed",
    expect="refuted",
)


def kept_first(p):
    """random-1 in R^2 (delta = 1/2) when entry 1 is drawn: the squared error, and that of the other draw."""
    return p[1] ** 2, p[0] ** 2


@random.printed
def one_draw_goes_beyond() -> Evidence:
    p1, p2 = symbols("p1 p2", real=True)
    return prove(kept_first((p1, p2))[0] <= HALF * (p1**2 + p2**2))


@random.repaired
def the_mean_of_the_draws_does_not() -> Evidence:
    """Assumption A itself; here for random-1, whose two draws have exactly the mean ||p||^2/2."""
    p1, p2 = symbols("p1 p2", real=True)
    mean = sum(kept_first((p1, p2))) / 2
    return prove(mean <= HALF * (p1**2 + p2**2), covers="given p_t")


@random.repaired
def and_the_recurrence_keeps_its_mean() -> Evidence:
    """m^2 = E||e_t||^2, n^2 = E||g_t||^2, c = E<e_t, g_t>: Young's inequality is linear in the three."""
    return the_remainder_is_a_square().covering("in expectation")


young = Claim(
    "lemma-3-proof-young",
    SECTION,
    "(1-delta) ||e_t + gamma g_t||^2 <= (1-delta)(1+eta) ||e_t||^2 + gamma^2 (1-delta)(1+1/eta) ||g_t||^2 for any eta > 0",
)


@young.printed
def the_remainder_is_a_square() -> Evidence:
    """c = <e_t, g_t>, c^2 <= m^2 n^2. The difference is (1-delta) ||sqrt(eta) e - gamma g/sqrt(eta)||^2 >= 0."""
    c = Symbol("c", real=True)
    left = (1 - delta) * (m**2 + 2 * gamma * c + gamma**2 * n**2)
    right = factor() * m**2 + gamma**2 * weight() * n**2
    square = (1 - delta) * (eta * m**2 - 2 * gamma * c + gamma**2 * n**2 / eta)
    return prove(And(left <= right, Eq(right - left, square)), [delta <= 1, c**2 <= m**2 * n**2])


total = Claim(
    "lemma-3-proof-sum",
    SECTION,
    "E||e_{t+1}||^2 <= sum_{i=0}^t [(1-delta)(1+eta)]^{t-i} gamma^2 (1-delta)(1+1/eta) E||g_i||^2 for any eta > 0",
)


@total.printed
def it_starts_with_one_term() -> Evidence:
    """t = 0: e_0 = 0 leaves gamma^2 b E||g_0||^2, the sum's only term, with the power 0."""
    first = factor() * 0 + gamma**2 * weight() * n**2
    return prove(Eq(first, partial_sum(factor(), 0, 1) * gamma**2 * weight() * n**2), kind="identity", covers="t = 0")


@total.printed
def each_step_multiplies_and_adds() -> Evidence:
    """E||e_t||^2 = m^2 <= S gives a m^2 + gamma^2 b n^2 <= a S + gamma^2 b n^2: the old powers rise by 1, i = t has power 0."""
    after = factor() * m**2 + gamma**2 * weight() * n**2
    return prove(after <= factor() * S + gamma**2 * weight() * n**2, [delta <= 1, m**2 <= S], covers="induction over t")


@total.printed
def the_sum_obeys_the_recurrence() -> Evidence:
    """sum_{i<=t} a^{t-i} n_i^2 with symbols n_i, t = 0, ..., 5: a times it plus n_{t+1}^2 is the next one."""
    a, squares = Symbol("a", nonnegative=True), symbols("n0:7", nonnegative=True)

    def printed_sum(t: int):
        return sum(a ** (t - i) * squares[i] ** 2 for i in range(t + 1))

    good = And(*(Eq((a * printed_sum(t) + squares[t + 1] ** 2 - printed_sum(t + 1)).expand(), 0) for t in range(6)))
    return prove(good, kind="identity", covers="induction over t")


# -- the series ----------------------------------------------------------------------------------------------------------------

geometric = Claim(
    "lemma-3-proof-series",
    SECTION,
    "the sum over i = 0, ..., t is at most sum_{i=0}^infinity [(1-delta)(1+eta)]^i gamma^2 (1-delta)(1+1/eta) sigma^2 = "
    "(1-delta)(1+1/eta)/(1-(1-delta)(1+eta)) gamma^2 sigma^2 [eta > 0 is not picked yet]",
    repaired="for eta (1-delta) < delta, that is (1-delta)(1+eta) < 1",
    expect="refuted",
)


@geometric.printed
def the_sum_may_be_negative() -> Evidence:
    """Already its first term, i = 0, exceeds the right side if 1 - a < 0; gamma = sigma = 1."""
    return prove(weight() <= series(), [delta <= HALF, eta >= 2])


@geometric.repaired
def every_partial_sum_is_below() -> Evidence:
    """With w = a^{t+1}: (1 - w)/(1 - a) <= 1/(1 - a); E||g_i||^2 <= sigma^2 term by term."""
    a, w = symbols("a w", nonnegative=True)
    closed = And(*(Eq((partial_sum(a, 0, t + 1) * (1 - a) - (1 - a ** (t + 1))).expand(), 0) for t in range(6)))
    step = Eq((1 - w) / (1 - a) + w, (1 - a * w) / (1 - a))
    below = (1 - w) / (1 - a) <= 1 / (1 - a)
    return prove(And(closed, step, below), [a < 1, w <= 1], covers="series")


@geometric.repaired
def which_eta() -> Evidence:
    """a < 1 iff eta (1-delta) < delta, and then the right side is >= 0."""
    same = And(Implies(factor() < 1, eta * (1 - delta) < delta), Implies(eta * (1 - delta) < delta, factor() < 1))
    return prove(And(same, Implies(factor() < 1, series() >= 0)), [delta <= 1], covers="which eta")


denominator = Claim(
    "lemma-3-proof-denominator",
    SECTION,
    "(1-delta)(1+1/eta)/(1-(1-delta)(1+eta)) = (1-delta)(1+1/eta)/(delta - eta (1-delta))",
)


@denominator.printed
def the_same_number() -> Evidence:
    return prove(Eq(series(), weight() / (delta - eta * (1 - delta))), [delta <= 1], kind="identity")


equality = Claim(
    "lemma-3-proof-last-equality",
    SECTION,
    "(1-delta)(1+1/eta)/(delta - eta (1-delta)) = 2 (1-delta)(1+1/eta)/delta [eta > 0 is not picked yet]",
    repaired="for delta < 1 and eta < delta/(1-delta): equality iff eta = delta/(2(1-delta)), <= iff eta is at most that; for "
    "delta = 1 both sides are 0",
    expect="refuted",
)


@equality.printed
def another_eta() -> Evidence:
    """For eta that make the series converge."""
    return prove(Eq(series(), last()), [delta < 1, eta * (1 - delta) < delta])


@equality.repaired
def only_for_the_picked_eta() -> Evidence:
    """Both directions of both equivalences."""
    chosen, smaller = Eq(eta, picked()), eta <= picked()
    equal, less = Eq(series(), last()), series() <= last()
    both = And(Implies(chosen, equal), Implies(equal, chosen), Implies(smaller, less), Implies(less, smaller))
    return prove(both, [delta < 1, eta * (1 - delta) < delta], covers="delta < 1")


@equality.repaired
def nothing_at_delta_one() -> Evidence:
    return prove(And(Eq(series(1), 0), Eq(last(1), 0)), kind="identity", covers="delta = 1")


# -- the choice of eta ---------------------------------------------------------------------------------------------------------

choice = Claim(
    "lemma-3-proof-eta",
    SECTION,
    "Let us pick eta = delta/(2(1-delta)) [for every delta in (0, 1]] such that 1 + 1/eta = (2-delta)/delta <= 2/delta",
    repaired="for delta < 1, where eta > 0 is valid in every line; for delta = 1, e_t = 0 and the lemma needs no eta",
    expect="refuted",
)


@choice.printed
def there_is_none_for_delta_one() -> Evidence:
    """The fraction is defined iff its denominator is not 0."""
    found = prove(2 * (1 - delta) > 0, [delta <= 1])
    return replace(found, detail=f"eta = delta/(2(1-delta)) needs a denominator 2(1-delta) > 0; {found.detail}")


@choice.repaired
def as_printed_below_one() -> Evidence:
    y = picked()
    valid = And(y > 0, factor(y=y) < 1)
    return prove(
        And(valid, Eq(1 + 1 / y, (2 - delta) / delta), (2 - delta) / delta <= 2 / delta), [delta < 1], covers="delta < 1"
    )


@choice.repaired
def at_delta_one_the_first_display_suffices() -> Evidence:
    """||e_{t+1}||^2 <= (1 - 1) ||p_t||^2 = 0."""
    r, p = symbols("r p", nonnegative=True)
    return prove(Implies(r**2 <= (1 - 1) * p**2, Eq(r, 0)), covers="delta = 1")


conclusion = Claim(
    "lemma-3-proof-conclusion",
    SECTION,
    "E||e_{t+1}||^2 <= 2 (1-delta)(1+1/eta)/delta gamma^2 sigma^2 <= 4 (1-delta)/delta^2 gamma^2 sigma^2 with the eta picked",
    repaired="sharper with the same eta, since 1 + 1/eta = (2-delta)/delta: 2 (1-delta)(2-delta)/delta^2 gamma^2 sigma^2",
)


@conclusion.printed
def the_first_is_the_series() -> Evidence:
    return prove(Eq(series(y=picked()), last(y=picked())), [delta < 1], kind="identity", covers="first inequality")


@conclusion.printed
def the_second_doubles() -> Evidence:
    """Against the printed side of Lemma 3 in `bounds`."""
    return prove(
        last(y=picked()) * gamma**2 * sigma**2 <= bounds.LEMMA_3.printed.expression, [delta < 1], covers="second inequality"
    )


@conclusion.repaired
def without_the_last_step() -> Evidence:
    """It is 1 - delta/2 of the printed bound."""
    fine = 2 * (1 - delta) * (2 - delta) / delta**2
    ratio = Eq(fine * gamma**2 * sigma**2, (1 - delta / 2) * bounds.LEMMA_3.printed.expression)
    return prove(And(Eq(series(y=picked()), fine), ratio), [delta < 1], kind="identity")


best = Claim(
    "lemma-3-proof-best-eta",
    "B.2 (ours: the best eta)",
    "the series is smallest for eta = (1-q)/q, q = sqrt(1-delta), where it is the sharp limit gamma^2 sigma^2 q^2/(1-q)^2",
)


@best.printed
def no_eta_is_better() -> Evidence:
    """delta = 1 - q^2, 0 < q < 1, over all eta for which the series converges; attained at (1-q)/q."""
    d, limit = 1 - q**2, q**2 / (1 - q) ** 2
    smallest = Implies(q**2 * (1 + eta) < 1, series(d) >= limit)
    attained = And(Eq(series(d, (1 - q) / q), limit), q**2 * (1 + (1 - q) / q) < 1)
    return prove(And(smallest, attained), [q > 0, q < 1])


@best.printed
def it_is_the_sharp_limit() -> Evidence:
    """bounds.LEMMA_3.sharp with q^t -> 0."""
    found = bounds.LEMMA_3.sharp.expression.subs((1 - delta) ** (bounds.t / 2), 0).subs(delta, 1 - q**2)
    return prove(Eq(found, gamma**2 * sigma**2 * q**2 / (1 - q) ** 2), [q < 1], kind="identity", covers="limit")


if __name__ == "__main__":
    main(__file__)
