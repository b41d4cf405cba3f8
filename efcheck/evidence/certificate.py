r"""Exact certificates of worst-case bounds, and their checker: standard library, no solver, no floating point.

    python certificate.py FILE        exit 0 if FILE proves the bound that it states, else 1 and why not

EF-SGD: p_t = gamma g_t + e_t, e_{t+1} = p_t - C(p_t), e_0 = 0, h = x_0 - x*; then x_t - x* = h - gamma sum_{s<t} g_s + e_t.
Hypotheses, each with a multiplier >= 0, for all t at which the letter occurs:

    compressor[t]   a_t   ||e_{t+1}||^2 <= (1 - delta) ||p_t||^2        t = 0, ..., T-1
    moment[t]       b_t   ||g_t||^2 <= sigma^2
    convexity[t]    c_t   f(x_t) - f* <= <g_t, x_t - x*>                theorem-3 only, t = 0, ..., T
    start           r     ||h||^2 <= R^2                                theorem-3 only

Added up, they prove the bound if Q below is positive semidefinite, as a quadratic form in the vectors, in any dimension:

    lemma-3     Q = -||e_T||^2 + S,   ||e_T||^2 <= sigma^2 sum b_t                       g_0, ..., g_{T-1}
    theorem-3   Q = -sum c_t <g_t, x_t - x*> + r ||h||^2 + S,   all c_t = 1/(T+1),       g_0, ..., g_T
                f(xbar_T) - f* <= sum c_t (f(x_t) - f*) <= r R^2 + sigma^2 sum b_t       (Jensen's inequality first)
    where       S = sum a_t (||e_{t+1}||^2 - (1 - delta) ||p_t||^2) + sum b_t ||g_t||^2

Only sums are taken, so each hypothesis and the bound may be read in expectation. Q is checked by its LDL^T factors in
Fractions. Nothing in FILE is believed but its parameters, which are part of what is proved: Q is built here.
"""

from __future__ import annotations

import json
import re
import sys
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

FORMAT, LONGEST, DIGITS = "efcheck-certificate-1", 60, 200  # of the numbers' common denominator: more would take hours
_PARAMETERS = {"lemma-3": ("delta", "gamma", "sigma"), "theorem-3": ("delta", "gamma", "sigma", "R")}
Multipliers = dict[str, list[Fraction]]
Vector = dict[tuple[str, int], Fraction]  # coefficients of ("g", t), ("e", t) with t >= 1, and ("h", 0)


class Rejected(ValueError):
    """The certificate does not prove what it states; the message says why."""


def rational(name: str, text: Any) -> Fraction:
    """A number of the file, as text: "3", "-1/7", "0.125"."""
    if not isinstance(text, str) or not re.fullmatch(r"-?[0-9]{1,60}(\.[0-9]{1,60}|/0{0,59}[1-9][0-9]{0,59})?", text):
        raise Rejected(f'{name} must be a rational number as text, such as "1/7", of at most 60 digits; got {text!r:.60}')
    return Fraction(text)


def combine(*terms: tuple[Fraction | int, Vector]) -> Vector:
    total: Vector = {}
    for factor, vector in terms:
        for key, value in vector.items():
            total[key] = total.get(key, Fraction(0)) + factor * value
    return total


def quadratic_form(statement: str, T: int, delta: Fraction, gamma: Fraction, by: Multipliers) -> list[list[Fraction]]:
    """Q as a symmetric matrix, for delta and gamma as they are and the multipliers `by`."""
    one, theorem = Fraction(1), statement == "theorem-3"
    g: list[Vector] = [{("g", t): one} for t in range(T + theorem)]
    e: list[Vector] = [{}] + [{("e", t): one} for t in range(1, T + 1)]
    products = [(b, u, u) for b, u in zip(by["moment"], g, strict=True)]
    for t, a in enumerate(by["compressor"]):
        p = combine((gamma, g[t]), (1, e[t]))
        products += [(a, e[t + 1], e[t + 1]), (-a * (1 - delta), p, p)]
    if theorem:
        h: Vector = {("h", 0): one}
        products.append((by["start"][0], h, h))
        for t, c in enumerate(by["convexity"]):
            products.append((-c, g[t], combine((1, h), (1, e[t]), *((-gamma, s) for s in g[:t]))))
    else:
        products.append((-one, e[T], e[T]))
    place = {key: i for i, key in enumerate(dict.fromkeys(key for _, u, v in products for key in (*u, *v)))}
    Q = [[Fraction(0)] * len(place) for _ in place]
    for factor, u, v in products:
        for i, x in u.items():
            for j, y in v.items():
                Q[place[i]][place[j]] += factor * x * y / 2
                Q[place[j]][place[i]] += factor * x * y / 2
    return Q


def semidefinite(Q: list[list[Fraction]]) -> bool:
    """Whether Q is positive semidefinite: every pivot of LDL^T is > 0, or 0 with a row of zeros.

    In integers, by Bareiss: the pivots are those of LDL^T times positive minors, and every division is exact.
    """
    scale, before = lcm(*(x.denominator for row in Q for x in row)), 1
    if scale >= 10**DIGITS:
        raise Rejected(f"the entries of Q must have a common denominator of at most {DIGITS} digits")
    rows = [[int(x * scale) for x in row] for row in Q]
    while rows:
        (pivot, *first), *rest = rows
        if pivot < 0 or (pivot == 0 and any(first)):
            return False
        if pivot == 0:
            rows = [row[1:] for row in rest]
        else:
            rows = [[(pivot * x - row[0] * y) // before for x, y in zip(row[1:], first, strict=True)] for row in rest]
            before = pivot
    return True


def parse(text: str) -> Any:
    """JSON, or Rejected; a key that is there twice is refused: a reader may have seen the other one."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Rejected("a key of the file is there twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except Rejected:
        raise
    except (ValueError, RecursionError) as error:
        raise Rejected(f"not JSON: {str(error) or type(error).__name__}") from None


def shown(number: Fraction) -> str:
    try:
        return f"{float(number):.10g}"
    except OverflowError:
        return "a number beyond 10^308"


def verify(certificate: Any) -> Fraction:
    """The bound that `certificate`, a dict as read from JSON, states and proves; Rejected if it does not prove it."""
    if not isinstance(certificate, dict) or certificate.get("format") != FORMAT:
        raise Rejected(f'not a certificate: "format" must be "{FORMAT}"')
    if certificate.keys() != {"format", "statement", "T", "parameters", "bound", "multipliers"}:
        raise Rejected("it must have the keys format, statement, T, parameters, bound, multipliers, and no others")
    statement, T = certificate["statement"], certificate["T"]
    if not isinstance(statement, str) or statement not in _PARAMETERS:
        raise Rejected(f"statement must be one of {', '.join(_PARAMETERS)}; got {statement!r:.60}")
    if type(T) is not int or not 0 <= T <= LONGEST:
        raise Rejected(f"T must be an integer in [0, {LONGEST}]; got {T!r:.60}")
    lengths = {"compressor": T, "moment": T}
    if statement == "theorem-3":
        lengths |= {"moment": T + 1, "convexity": T + 1, "start": 1}
    given, listed = certificate["parameters"], certificate["multipliers"]
    if not isinstance(given, dict) or given.keys() != set(_PARAMETERS[statement]):
        raise Rejected(f"parameters must be {', '.join(_PARAMETERS[statement])}")
    if not isinstance(listed, dict) or {k: len(v) if isinstance(v, list) else -1 for k, v in listed.items()} != lengths:
        raise Rejected(f"multipliers must be lists of lengths {lengths}")
    value = {name: rational(name, text) for name, text in given.items()}
    if not (0 < value["delta"] <= 1 and value["gamma"] > 0 and value["sigma"] >= 0 and value.get("R", 0) >= 0):
        raise Rejected("parameters must have 0 < delta <= 1, gamma > 0, sigma >= 0, R >= 0")
    by = {name: [rational(f"{name}[{t}]", text) for t, text in enumerate(texts)] for name, texts in listed.items()}
    for name, numbers in by.items():
        for t, number in enumerate(numbers):
            if number < 0:
                raise Rejected(f"the multiplier {name}[{t}] is negative: {shown(number)}")
    if any(c != Fraction(1, T + 1) for c in by.get("convexity", [])):
        raise Rejected(f"the values of f do not cancel: every convexity multiplier must be 1/(T+1) = 1/{T + 1}")
    sums = value["sigma"] ** 2 * sum(by["moment"]) + sum(r * value["R"] ** 2 for r in by.get("start", []))
    bound = rational("bound", certificate["bound"])
    if sums > bound:
        raise Rejected(f"the multipliers give the bound {shown(sums)} at best; {shown(bound)} is stated")
    if not semidefinite(quadratic_form(statement, T, value["delta"], value["gamma"], by)):
        raise Rejected("the quadratic form Q is not positive semidefinite")
    return bound


def statement(certificate: Any) -> str:
    """What a verified certificate proves, in one line."""
    T, bound = certificate["T"], certificate["bound"]
    left = f"E||e_{T}||^2" if certificate["statement"] == "lemma-3" else f"E f(xbar_{T}) - f*"
    given = ", ".join(f"{name} = {text}" for name, text in certificate["parameters"].items())
    return f"{certificate['statement']}: {left} <= {bound} (T = {T}, {given})"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python certificate.py FILE")
    try:
        verify(found := parse(Path(sys.argv[1]).read_text(encoding="utf-8")))
        print("proved:", statement(found))
    except (Rejected, OSError, UnicodeDecodeError) as error:
        sys.exit(f"not proved: {error}")
