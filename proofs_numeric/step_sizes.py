r"""The grid of A.3 and Table 2 are as the text says; scaling gamma with the batch is right for SGD and feedback, not for signs.

Statement   "9 values equally spaced in logarithmic scale over 10^-5 to 10^1 (inclusive)", the list of their rounded values, the
            best ones in Table 2, the scaling by 4 and 16, and why scaled SIGNSGD is among the algorithms.
Source      Appendix A.3, Table 2; Section 6.1
Idea        Value k of the grid is 10^((3k - 20)/4): a printed decimal is its rounding iff fourth powers of integers say so.
            k steps gamma/k on the parts of a batch add up to one step gamma on the batch, if the gradients stay: a sum is
            linear, and so is x - e under feedback. A sign is not.
Conventions grid[0] = 10^-5. "2 significant digits": half a unit of the second digit. sign(0) = 1 in the compressor.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from sympy import Abs, Eq, Piecewise, Symbol, symbols
from sympy import sign as sgn

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

printed = content.load(Path(__file__).with_name("_printed.py"))
A3 = "Appendix A.3"
LISTED = ("1.0e-5", "5.6e-5", "3.2e-4", "1.8e-3", "1.0e-2", "5.6e-2", "3.2e-1", "1.8e0", "1.0e1")
COUNT, LOW, HIGH = 9, -5, 1  # values, exponents of the first and the last
Vector = tuple[Fraction, ...]

# -- the grid --------------------------------------------------------------------------------------------------------------

grid = Claim(
    "step-size-grid",
    A3,
    "9 values equally spaced in logarithmic scale over 10^-5 to 10^1 (inclusive) [are the numbers listed], rounded values (2 "
    "significant digits)",
    repaired="each is 10^(3/4) times the one before, between 5.62 and 5.63",
)


def rounds_to(word: str, k: int) -> bool:
    """Whether grid value k = 10^(LOW + k (HIGH - LOW)/(COUNT - 1)) is within half a unit of the word's second digit.

    The exponent is m/n with n = COUNT - 1: low <= 10^(m/n) <= high iff low^n <= 10^m <= high^n, in rationals.
    """
    n = COUNT - 1
    power = Fraction(10) ** (LOW * n + k * (HIGH - LOW))
    _, digits, exponent = Decimal(word).as_tuple()
    half = Fraction(10) ** int(exponent) / 2
    return len(digits) == 2 and (Fraction(word) - half) ** n <= power <= (Fraction(word) + half) ** n


def beside(word: str) -> list[str]:
    """The two-digit numbers before and after."""
    digits, exponent = word.split("e")
    return [f"{Decimal(digits) + sign * Decimal('0.1')}e{exponent}" for sign in (-1, 1)]


@grid.printed
def the_list_is_the_grid() -> Evidence:
    bad = [word for k, word in enumerate(LISTED) if not rounds_to(word, k) or any(rounds_to(w, k) for w in beside(word))]
    good = len(LISTED) == COUNT and not bad
    detail = f"{len(LISTED)} numbers, {len(bad)} of them not the rounded 10^({LOW} + {Fraction(HIGH - LOW, COUNT - 1)} k)"
    return Evidence("exact", "proved" if good else "refuted", detail, {"not": bad})


@grid.repaired
def the_ratio() -> Evidence:
    """r^8 = 10^6 for the eight steps from 10^-5 to 10^1; r = 10^(3/4)."""
    n, total = COUNT - 1, Fraction(10) ** (HIGH - LOW)
    good = Fraction(562, 100) ** n < total < Fraction(563, 100) ** n and Fraction(HIGH - LOW, n) == Fraction(3, 4)
    return Evidence("exact", "proved" if good else "refuted", f"5.62^{n} < {total} < 5.63^{n}")


table = Claim(
    "step-size-table",
    "Table 2; Appendix A.3",
    "The best learning rate for each of the method is shown in table 2 [it is in the list]",
    repaired="and it is inside the list: 4 steps from the nearer end for SGDM, 3 for SIGNSGD and EF-SIGNSGD, 2 (Resnet18) and "
    "1 (VGG19) for SIGNSGDM",
)


def position(word: str) -> int | None:
    return LISTED.index(word) if word in LISTED else None


@table.printed
def they_are_in_the_list() -> Evidence:
    places = {word: position(word) for pair in printed.RATES.values() for word in pair}
    missing = [word for word, k in places.items() if k is None]
    told = ", ".join(f"{word} is number {k + 1}" for word, k in places.items() if k is not None)
    return Evidence("exact", "refuted" if missing else "proved", told, {"not listed": missing})


def from_the_end(word: str) -> int | None:
    k = position(word)
    return None if k is None else min(k, len(LISTED) - 1 - k)


@table.repaired
def away_from_the_ends() -> Evidence:
    """Steps from the nearer end, for Resnet18 and VGG19."""
    found = {method: [from_the_end(word) for word in pair] for method, pair in printed.RATES.items()}
    good = found == {"SGDM": [4, 4], "SIGNSGD": [3, 3], "SIGNSGDM": [2, 1], "EF-SIGNSGD": [3, 3]}
    return Evidence("exact", "proved" if good else "refuted", f"steps from the nearer end: {found}")


momentum = Claim(
    "step-size-momentum",
    "Table 2; Section 6.1 (ours: SGDM's rate without its momentum)",
    "with beta = 0.9 one gradient moves SGDM by gamma/(1 - beta) in all: its 1.0e-2 is 0.1, and EF-SIGNSGD's 5.6e-2 is less "
    "than one step of the grid below that",
)


@momentum.printed
def the_sum_of_its_effects() -> Evidence:
    """S = sum beta^i is the solution of S = 1 + beta S; beta = 9/10: 10."""
    S, beta = symbols("S beta", positive=True)
    return prove(Eq(S, 1 / (1 - beta)), [Eq(S, 1 + beta * S), beta < 1], covers="gamma/(1 - beta)")


@momentum.printed
def less_than_a_step_apart() -> Evidence:
    """Both rates at any rounding to two digits."""
    plain = [Fraction(word) / (1 - Fraction(9, 10)) for word in printed.RATES["SGDM"]]
    ratios = [p / Fraction(word) for p, word in zip(plain, printed.RATES["EF-SIGNSGD"], strict=True)]
    rounding = Fraction(105, 100) / Fraction(555, 560)
    good = all(rounding < r and r * rounding < Fraction(562, 100) for r in ratios)
    detail = (
        f"{', '.join(f'{float(p):g}' for p in plain)}: {', '.join(f'{float(r):.2f}' for r in ratios)} times that of EF-SIGNSGD"
    )
    return Evidence("exact", "proved" if good else "refuted", detail, {"ratios": ratios}, "a step")


# -- batch sizes -------------------------------------------------------------------------------------------------------------

scaling = Claim(
    "step-size-scaling",
    f"{A3}; Section 6.1",
    "The learning rates for batchsize 32 and 8 were scaled down by 4 and 16 respectively; for the smaller batch-sizes, the "
    "learning-rate is proportionally reduced [both say the same, from batch-size 128]",
)
DIVISORS = {32: 4, 8: 16}


@scaling.printed
def in_proportion() -> Evidence:
    found = {size: Fraction(printed.SIZES[0], size) for size in printed.SIZES[1:]}
    told = ", ".join(f"128/{size} = {ratio}" for size, ratio in found.items())
    return Evidence("exact", "proved" if found == DIVISORS else "refuted", told)


linear = Claim(
    "step-size-linear",
    f"Section 6.1; {A3} (ours: what is linear scaling right for?)",
    "if gradients stay the same, k steps of gamma/k on the k parts of a batch move x as one step of gamma on the whole batch, "
    "for all methods [SGD, SIGNSGD, scaled SIGNSGD, EF-SIGNSGD]",
    repaired="for SGD they do, and for EF-SIGNSGD's x - e; SIGNSGD may move the other way (1/2 against -1 for the parts 4, -1, "
    "-1, -1), and scaled SIGNSGD by other amounts ((3/8, -11/8) against (-5/8, -5/8) for (4, 0), (-1, 1), (-1, 1), (-1, 2))",
    expect="refuted",
)
ONE, TWO = ((4,), (-1,), (-1,), (-1,)), ((4, 0), (-1, 1), (-1, 1), (-1, 2))  # gradients of the parts


def travel(parts: tuple[tuple[int, ...], ...], method: str) -> Vector:
    """x_k - x_0 after one step of size 1/k on each part; of EF-SIGNSGD x - e, whose e_0 is 0."""
    k, start = len(parts), (0,) * len(parts[0])
    steps = [Fraction(1, k)] * k
    if method == "SGD":
        return exact.sgd(lambda t, x: parts[t], start, steps)[-1]
    if method == "SIGNSGD":
        return exact.sign_sgd(lambda t, x: parts[t], start, steps)[-1]
    if method == "EF-SIGNSGD":
        xs, es = exact.ef_sgd(lambda t, x: parts[t], start, steps, exact.scaled_sign)
        return tuple(x - e for x, e in zip(xs[-1], es[-1], strict=True))
    return tuple(-sum(column) / k for column in zip(*map(exact.scaled_sign, parts), strict=True))


def whole(parts: tuple[tuple[int, ...], ...]) -> tuple[tuple[Fraction, ...], ...]:
    """The gradient of the whole batch: the mean of the parts."""
    return (tuple(Fraction(sum(column), len(parts)) for column in zip(*parts, strict=True)),)


def pair(parts: tuple[tuple[int, ...], ...], method: str) -> tuple[Vector, Vector]:
    return travel(parts, method), travel(whole(parts), method)


def told(moves: tuple[Vector, Vector]) -> str:
    return " against ".join("(" + ", ".join(map(str, move)) + ")" for move in moves)


@linear.printed
def signs_move_elsewhere() -> Evidence:
    found = {"SIGNSGD": pair(ONE, "SIGNSGD"), "scaled SIGNSGD": pair(TWO, "scaled SIGNSGD")}
    apart = [method for method, (parts, batch) in found.items() if parts != batch]
    detail = f"gamma = 1, gradients {ONE}: {told(found['SIGNSGD'])}; {TWO}, scaled: {told(found['scaled SIGNSGD'])}"
    return Evidence("witness", "refuted" if apart else "supported", detail, {"apart": apart})


@linear.repaired
def a_sum_is_linear() -> Evidence:
    """One more part: sum + (gamma/k) g, for SGD and for x - e, whose step is -gamma g whatever is sent."""
    x, e, g, sent, step = symbols("x e g Delta step", real=True)
    p = step * g + e
    return prove(Eq(((x - sent) - (p - sent) - (x - e - step * g)).expand(), 0), kind="identity", covers="SGD and x - e")


@linear.repaired
def on_the_same_examples() -> Evidence:
    found = [[told(pair(parts, method)) for parts in (ONE, TWO)] for method in ("SGD", "EF-SIGNSGD")]
    good = found == [["(-1/4) against (-1/4)", "(-1/4, -1) against (-1/4, -1)"]] * 2
    detail = f"SGD and x - e of EF-SIGNSGD: {'; '.join(found[1])}"
    return Evidence("exact", "proved" if good else "refuted", detail, covers="SGD and x - e")


@linear.repaired
def the_other_way() -> Evidence:
    found = [told(pair(ONE, "SIGNSGD")), told(pair(TWO, "scaled SIGNSGD"))]
    good = found == ["(1/2) against (-1)", "(3/8, -11/8) against (-5/8, -5/8)"]
    return Evidence("exact", "proved" if good else "refuted", "; ".join(found), covers="signs")


# -- what is compared --------------------------------------------------------------------------------------------------------

isolate = Claim(
    "step-size-isolate",
    "Section 6.1; Table 2",
    "We chose to include [(scaled)SIGNSGD] since we wanted to isolate the effects of error-feedback from that of scaling [its "
    "update is Algorithm 1's with e_t = 0, and its learning rates in Table 2 are those of EF-SIGNSGD]",
)


@isolate.printed
def a_step_without_memory() -> Evidence:
    """(||gamma g||_1/d) sign(gamma g) = gamma (||g||_1/d) sign(g), in each coordinate, with sign(0) = 1."""
    gamma, g, rest = Symbol("gamma", positive=True), Symbol("g", real=True), Symbol("R", nonnegative=True)
    d = Symbol("d", positive=True)
    bit = Piecewise((sgn(g), g > 0), (sgn(g), g < 0), (1, True))
    scaled = Piecewise((sgn(gamma * g), gamma * g > 0), (sgn(gamma * g), gamma * g < 0), (1, True))
    left = (Abs(gamma * g) + gamma * rest) / d * scaled
    return prove(Eq(left, gamma * (Abs(g) + rest) / d * bit), kind="identity", covers="update")


@isolate.printed
def with_the_same_rates() -> Evidence:
    ours, plain = printed.RATES["EF-SIGNSGD"], printed.RATES["SIGNSGD"]
    return Evidence("exact", "proved" if ours == plain else "refuted", f"{ours} and {plain}", covers="learning rates")


if __name__ == "__main__":
    main(__file__)
