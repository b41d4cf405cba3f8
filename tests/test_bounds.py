"""efcheck.bounds: every expression against plain sums in exact or 60-digit arithmetic, transcribed from the paper anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from efcheck import bounds
from efcheck.bounds import BOUNDS, LEMMA_3, REMARK_5, REMARK_6, THEOREM_2, THEOREM_3, Bound, Side, named
from efcheck.errors import ArgumentError

F = Fraction
RELATIVE = 1e-10  # what the module promises; float64 of the closed forms loses up to 1e-12
mp = mpmath.mpf


def error(t: int, q: Any) -> Any:
    """||e_t||/(gamma sigma) when every step adds gamma sigma and keeps the share q: q^t + ... + q."""
    e = mp(0)
    for _ in range(t):
        e = q * (e + 1)
    return e


def mean(T: int, f: Callable[[int], Any]) -> Any:
    return sum((f(t) for t in range(T + 1)), mp(0)) / (T + 1)


# The printed right-hand sides, read off the paper; then the proofs' and the sharp ones, as sums.

PRINTED: dict[str, Callable[..., Any]] = {
    "lemma-3": lambda delta, gamma, sigma, **_: 4 * (1 - delta) * gamma**2 * sigma**2 / delta**2,
    "theorem-2": lambda T, gamma, delta, sigma, f0, L, **_: (
        2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 / 2 + 4 * gamma**2 * L**2 * sigma**2 * (1 - delta) / delta**2
    ),
    "remark-4": lambda T, delta, sigma, f0, L, **_: (
        (4 * f0 + L * sigma**2) / (2 * mpmath.sqrt(T + 1)) + 4 * L**2 * sigma**2 * (1 - delta) / (delta**2 * (T + 1))
    ),
    "remark-4-sgd": lambda T, sigma, f0, L, **_: (2 * f0 + L * sigma**2) / (2 * mpmath.sqrt(T + 1)),
    "remark-5": lambda T, sigma, f0, L, k, **_: (
        (4 * f0 + L * sigma**2) / (2 * mpmath.sqrt(T + 1)) + 2 * L**2 * sigma**2 * k**2 / (T + 1)
    ),
    "remark-5-plain": lambda T, sigma, f0, L, k, **_: (f0 + L * k * sigma**2) / (2 * mpmath.sqrt(T + 1)),
    "theorem-3": lambda T, gamma, delta, sigma, R, **_: (
        R**2 / (2 * gamma * (T + 1)) + gamma * sigma**2 * (mp(1) / 2 + 2 * mpmath.sqrt(1 - delta) / delta)
    ),
    "remark-6": lambda T, delta, sigma, R, **_: (
        R * sigma / (2 * mpmath.sqrt(T + 1)) * mpmath.sqrt(1 + 4 * mpmath.sqrt(1 - delta) / delta)
    ),
    "remark-6-sgd": lambda T, sigma, R, **_: R * sigma / (2 * mpmath.sqrt(T + 1)),
    "remark-10": lambda delta, gamma, sigma, **_: 4 * gamma**2 * (1 - delta) / delta**2 * sigma**2,
}


def smooth(T: int, gamma: Any, sigma: Any, f0: Any, L: Any, square: Callable[[int], Any]) -> Any:
    """B.3 with rho = 1, averaged by a loop: f(x~_t) - f(x~_{t+1}) telescopes, ||e_t||^2 <= gamma^2 sigma^2 square(t)."""
    total = 2 * f0 / gamma
    for t in range(T + 1):
        total += L * gamma * sigma**2 + L**2 * gamma**2 * sigma**2 * square(t)
    return total / (T + 1)


def convex(T: int, gamma: Any, sigma: Any, R: Any, root: Callable[[int], Any]) -> Any:
    """B.6 averaged by a loop: ||x~_t - x*||^2 telescopes, the memory costs gamma sigma^2 root(t)."""
    total = R**2 / (2 * gamma)
    for t in range(T + 1):
        total += gamma * sigma**2 / 2 + gamma * sigma**2 * root(t)
    return total / (T + 1)


def tuned(T: int, sigma: Any, R: Any, root: Callable[[int], Any]) -> Any:
    """`convex` at its best gamma, where its two halves are equal: 2 sqrt(half * half)."""
    return 2 * mpmath.sqrt(R**2 / (2 * (T + 1)) * sigma**2 * (mp(1) / 2 + mean(T, root)))


def repaired(name: str, v: dict[str, Any], sharp: bool) -> Any:
    """Each proof's own right-hand side; the memory by Lemma 3, or by its sharp form as a loop over t."""
    T = int(v["T"])
    delta = 1 / v["k"] if name.startswith("remark-5") else v["delta"]
    q = mpmath.sqrt(1 - delta)
    square = (lambda t: error(t, q) ** 2) if sharp else (lambda t: 4 * (1 - delta) / delta**2)
    root = (lambda t: error(t, q)) if sharp else (lambda t: 2 * q / delta)
    step = 1 / mpmath.sqrt(T + 1)
    gamma, sigma, f0, L, R = v["gamma"], v["sigma"], v["f0"], v["L"], v["R"]
    return {
        "lemma-3": lambda: gamma**2 * sigma**2 * square(int(v["t"])),
        "remark-10": lambda: gamma**2 * sigma**2 * square(int(v["t"])),
        "theorem-2": lambda: smooth(T, gamma, sigma, f0, L, square),
        "remark-4": lambda: smooth(T, step, sigma, f0, L, square),
        "remark-5": lambda: smooth(T, step, sigma, f0, L, square),
        "remark-4-sgd": lambda: f0 / (step * (T + 1)) + step * L * sigma**2 / 2,
        "remark-5-plain": lambda: f0 / (step * (T + 1)) + step * L * v["k"] * sigma**2 / 2,
        "theorem-3": lambda: convex(T, gamma, sigma, R, root),
        "remark-6": lambda: tuned(T, sigma, R, root),
        "remark-6-sgd": lambda: tuned(T, sigma, R, lambda t: 0),
    }[name]()


def points(n: int, seed: int) -> list[dict[str, Fraction]]:
    """Random rational values of every letter, among them T = 0, t = 0, delta = 1, delta near 0 and k = 1."""
    rng = np.random.default_rng(seed)

    def some(low: int, high: int) -> Fraction:
        return F(int(rng.integers(low, high)), int(rng.integers(1, 50)))

    found = []
    for i in range(n):
        delta = [F(int(rng.integers(1, 100)), 100), F(1), F(1, 10**7), F(1, 3)][i % 4]
        whole = {"T": [F(0), F(int(rng.integers(1, 40)))][i % 3 > 0], "t": [F(0), F(int(rng.integers(1, 40)))][i % 5 > 0]}
        rest = {"sigma": some(0, 90), "f0": some(0, 90), "L": some(0, 90), "R": some(0, 90), "gamma": some(1, 90)}
        found.append({**whole, **rest, "delta": delta, "k": [1 + some(0, 500), F(1), F(10**6)][i % 6 % 3]})
    return found


def value(side: Side, point: dict[str, Any]) -> float:
    return float(side(**{letter: point[letter] for letter in side.letters}))


def expected(name: str, form: str, point: dict[str, Fraction]) -> float:
    exact = {letter: float(v) for letter, v in point.items()}  # what float64 makes of the letters, then 60 digits
    with mpmath.workdps(60):
        letters = {letter: mp(v) for letter, v in exact.items()}
        return float(PRINTED[name](**letters) if form == "printed" else repaired(name, letters, form == "sharp"))


@cache
def sums(name: str, form: str, seed: int) -> Any:
    return np.array([expected(name, form, p) for p in points(24, seed)])


def wrong(name: str, bound: Bound, seed: int = 0) -> list[str]:
    """The forms that differ from their sums at some point."""
    found = []
    for form, side in bound.forms:
        columns = {letter: np.array([float(p[letter]) for p in points(24, seed)]) for letter in side.letters}
        right = sums(name, form, seed)
        if (np.abs(side(**columns) - right) > RELATIVE * np.abs(right)).any():
            found.append(form)
    return found


def test_every_bound_is_transcribed() -> None:
    assert list(PRINTED) == list(BOUNDS) and len({id(b) for b in BOUNDS.values()}) == 10
    assert all(named(name).name == name for name in BOUNDS)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_form_is_the_sum_of_its_proof(name: str, seed: int) -> None:
    assert wrong(name, BOUNDS[name], seed) == []


SCALES = [sp.Rational(99, 100), 2, sp.Rational(1, 2)]


@pytest.mark.parametrize("name", BOUNDS)
def test_a_planted_constant_is_noticed_in_every_term(name: str) -> None:
    for form, side in BOUNDS[name].forms:
        for i, term in enumerate(terms := sp.Add.make_args(side.expression)):
            for scale in SCALES[i % 3 : i % 3 + 1]:
                planted = sp.Add(*terms[:i], scale * term, *terms[i + 1 :])
                bound = dataclasses.replace(BOUNDS[name], **{form: Side(side.left, planted)})
                assert wrong(name, bound) == [form], (form, term)


@pytest.mark.parametrize(
    ("form", "old", "new"),
    [
        ("sharp", bounds.T, bounds.T + 1),
        ("printed", bounds.gamma, bounds.gamma**2),
        ("repaired", bounds.delta, bounds.delta / 2),
    ],
)
def test_a_planted_index_or_exponent_is_noticed(form: str, old: Any, new: Any) -> None:
    side = getattr(THEOREM_2, form)
    planted = dataclasses.replace(THEOREM_2, **{form: Side(side.left, side.expression.subs(old, new))})
    assert wrong("theorem-2", planted) == [form]


def test_holds_names_the_bounds_whose_proof_gives_what_is_printed() -> None:
    assert {name for name, b in BOUNDS.items() if b.holds} == {"lemma-3", "remark-4-sgd", "theorem-3", "remark-10"}
    for name, bound in BOUNDS.items():
        same = all(abs(expected(name, "printed", p) - expected(name, "repaired", p)) <= 1e-12 for p in points(8, 3))
        assert bound.holds == same, name


@pytest.mark.parametrize("name", [n for n, b in BOUNDS.items() if b.sharp])
def test_sharp_is_never_above_repaired(name: str) -> None:
    bound = BOUNDS[name]
    for p in points(24, 5):
        assert value(bound.sharp, p) <= value(bound.repaired, p) * (1 + RELATIVE)


# --- limits


def test_without_compression_the_memory_is_zero() -> None:
    for side in (LEMMA_3.printed, LEMMA_3.repaired, LEMMA_3.sharp):
        at = {letter: v for letter, v in {"gamma": 3, "sigma": 2, "delta": 1, "t": 7}.items() if letter in side.letters}
        assert side(**at) == 0
    at = {"T": 7, "gamma": 0.5, "f0": 2, "L": 3, "sigma": 1, "delta": 1}
    assert THEOREM_2.repaired(**at) == THEOREM_2.sharp(**at) == 2 * 2 / (0.5 * 8) + 0.5 * 3
    assert THEOREM_3.sharp(T=3, gamma=0.5, R=2, sigma=1, delta=1) == 4 / (2 * 0.5 * 4) + 0.25


def test_after_no_step_the_memory_is_zero() -> None:
    assert LEMMA_3.sharp(gamma=1, sigma=1, delta=0.3, t=0) == 0
    assert THEOREM_2.sharp(T=0, gamma=1, f0=0, L=1, sigma=1, delta=0.3) == pytest.approx(1, rel=1e-15)
    assert REMARK_6.sharp(T=0, R=1, sigma=1, delta=0.3) == 1  # f = |x|: twice what is printed for SGD


def test_lemma_3_tends_to_its_limit_and_the_ratio_is_as_derived() -> None:
    q = 0.5**0.5
    ratio = LEMMA_3.sharp(gamma=1, sigma=1, delta=0.5, t=10**6) / LEMMA_3.printed(gamma=1, sigma=1, delta=0.5)
    assert ratio == pytest.approx((1 + q) ** 2 / 4, rel=1e-13)


@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8, 1e-12, 1e-17, 1e-300])
def test_small_delta_loses_no_digits(delta: float) -> None:
    """For delta -> 0 the memory after t steps is t: the closed forms are 0/0 there."""
    sums = [sum(mpmath.power(1 - mp(delta), mp(i) / 2) for i in range(1, t + 1)) for t in range(11)]
    assert LEMMA_3.sharp(gamma=1, sigma=1, delta=delta, t=10) == pytest.approx(float(sums[10] ** 2), rel=RELATIVE)
    found = THEOREM_3.sharp(T=10, gamma=1, sigma=1, R=0, delta=delta)
    assert found == pytest.approx(0.5 + float(sum(sums)) / 11, rel=RELATIVE)
    found = REMARK_5.sharp(T=10, f0=0, L=1, sigma=1, k=1 / delta) - 1 / 11**0.5
    assert found == pytest.approx(float(sum(s * s for s in sums)) / 121, rel=RELATIVE)


def test_float64_switches_to_more_digits_without_a_jump() -> None:
    for letter, edge in (("delta", 1e-3), ("delta", 0.5 / 8)):
        low, high = THEOREM_3.sharp(T=[7, 7], gamma=1, sigma=1, R=1, **{letter: [edge * (1 - 1e-13), edge * (1 + 1e-13)]})
        assert high <= low and low == pytest.approx(high, rel=1e-11)


def test_what_float64_could_not_hold_on_the_way_is_right() -> None:
    assert LEMMA_3.printed(gamma=1e-200, sigma=1e200, delta=0.5) == pytest.approx(8, rel=1e-15)
    assert LEMMA_3.printed(gamma=1e-200, sigma=1e150, delta=0.5) == pytest.approx(8e-100, rel=1e-14)
    assert LEMMA_3.printed(gamma=1e200, sigma=1e200, delta=0.5) == np.inf
    assert THEOREM_3.printed(T=1e300, gamma=1, sigma=1, R=1e150, delta=1) == pytest.approx(1, rel=1e-15)
    assert REMARK_6.sharp(T=1e300, R=1e150, sigma=1, delta=1) == pytest.approx(1, rel=1e-15)


# --- arrays


@pytest.mark.parametrize("name", BOUNDS)
def test_arrays_broadcast_and_equal_the_numbers(name: str) -> None:
    for form, side in BOUNDS[name].forms:
        ps = points(6, 11)
        first, *others = side.letters
        column = np.array([[float(p[first])] for p in ps])
        rows = {letter: np.array([float(p[letter]) for p in ps]) for letter in others}
        found = side(**{first: column}, **rows)
        assert found.shape == (6, 6) and found.dtype == np.float64 and found.flags.writeable, form
        for i in range(6):
            for j in range(6):
                assert found[i, j] == value(side, {first: ps[i][first], **{letter: ps[j][letter] for letter in others}})


def test_numbers_give_a_number_and_arrays_keep_their_shape() -> None:
    given = np.full((2, 1, 3), 0.5)
    found = LEMMA_3.printed(gamma=given, sigma=1, delta=F(1, 2))
    assert type(LEMMA_3.printed(gamma=1, sigma=1, delta=1)) is np.float64 and found.shape == (2, 1, 3)
    found[:] = 7
    assert (given == 0.5).all()
    assert LEMMA_3.printed(gamma=np.ones((0, 2)), sigma=1, delta=0.5).shape == (0, 2)
    with pytest.raises(ArgumentError, match=r"`letters` must have shapes that broadcast; got gamma \(2,\), sigma \(3,\)\."):
        LEMMA_3.printed(gamma=np.ones(2), sigma=np.ones(3), delta=0.5)


# --- what is refused

GOOD: dict[str, Any] = {"T": 10, "gamma": 0.1, "f0": 1, "L": 1, "sigma": 1, "delta": 0.5}
BAD = {
    "delta 0": ("delta", 0, r"`delta` must be in \(0, 1\]; got 0\."),
    "delta above 1": ("delta", 1.5, r"`delta` must be in \(0, 1\]; got 1\.5\."),
    "delta negative": ("delta", -0.1, r"got -0\.1\."),
    "delta NaN": ("delta", float("nan"), r"`delta` must be in \(0, 1\]; got nan\."),
    "delta in an array": ("delta", [0.5, 2.0, 0.1], r"got 2 at index 1\."),
    "delta in a matrix": ("delta", [[0.5, 1.0], [0.0, 0.1]], r"got 0 at index \(1, 0\)\."),
    "T negative": ("T", -1, r"`T` must be an integer in \[0, inf\); got -1\."),
    "T not whole": ("T", 2.5, r"`T` must be an integer in \[0, inf\); got 2\.5\."),
    "T infinite": ("T", float("inf"), r"got inf\."),
    "T too long": ("T", 10**400, r"`T` must be an integer in \[0, inf\), a number or an array; got"),
    "gamma 0": ("gamma", 0, r"`gamma` must be in \(0, inf\); got 0\."),
    "sigma negative": ("sigma", -1, r"`sigma` must be in \[0, inf\); got -1\."),
    "f0 text": ("f0", "1", r"`f0` must be in \[0, inf\), a number or an array; got 1\."),
    "f0 nothing": ("f0", None, r"a number or an array; got None\."),
    "L complex": ("L", 1j, r"`L` must .* a number or an array; got 1j\."),
    "L truth value": ("L", True, r"got True\."),
    "ragged": ("L", [[1.0], [1.0, 2.0]], r"`L` must .* a number or an array"),
}


@pytest.mark.parametrize(("letter", "bad", "says"), BAD.values(), ids=BAD.keys())
def test_a_value_outside_its_domain_is_refused(letter: str, bad: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says) as caught:
        THEOREM_2.printed(**{**GOOD, letter: bad})
    assert "\n" not in str(caught.value)


def test_k_below_1_and_letters_that_do_not_belong_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`k` must be in \[1, inf\); got 0\.99"):
        REMARK_5.printed(T=1, f0=1, L=1, sigma=1, k=0.99)
    with pytest.raises(ArgumentError, match=r"hold a value for each of L, T, delta, f0, gamma, sigma; got no f0\."):
        THEOREM_2.printed(**{letter: v for letter, v in GOOD.items() if letter != "f0"})
    with pytest.raises(ArgumentError, match=r"`letters` must be L, T, delta, f0, gamma, sigma; got k\."):
        THEOREM_2.printed(**GOOD, k=2)
    with pytest.raises(ArgumentError, match=r"`name` must be one of lemma-3, theorem-2, .*; got theorem-9"):
        named("theorem-9")


# --- LaTeX and units


def test_latex_is_an_inequality_in_the_papers_letters() -> None:
    assert r"\frac{2 f_0}{\gamma \left(T + 1\right)}" in THEOREM_2.printed.latex
    for bound in BOUNDS.values():
        for _, side in bound.forms:
            assert side.latex.startswith(side.left + r" \le ") and side.latex.count("{") == side.latex.count("}")


UNITS = {"[x]": (1, 0), "[f]": (0, 1), "": (0, 0), "steps": (0, 0)}
UNITS |= {"[x]^2": (2, 0), "[f]/[x]": (-1, 1), "[f]/[x]^2": (-2, 1), "[x]^2/[f]": (2, -1), "[f]^2/[x]^2": (-2, 2)}


@pytest.mark.parametrize("name", ["lemma-3", "theorem-2", "theorem-3", "remark-6", "remark-6-sgd", "remark-10"])
def test_units_are_those_of_the_bounded_quantity(name: str) -> None:
    """[x] and [f] in other units scale the letters, and the value by the unit of the bound."""
    bound = BOUNDS[name]
    for _, side in bound.forms:
        p = {letter: float(v) for letter, v in points(2, 1)[1].items()} | {"delta": 0.3}
        scale = {letter: 3.0 ** UNITS[u][0] * 5.0 ** UNITS[u][1] for letter, u in bounds.UNITS.items()}
        ratio = value(side, {letter: p[letter] * scale[letter] for letter in p}) / value(side, p)
        assert ratio == pytest.approx(3.0 ** UNITS[bound.unit][0] * 5.0 ** UNITS[bound.unit][1], rel=1e-12)
