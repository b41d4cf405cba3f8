"""The parts of an exact instance: functions, compressors, oracles on Fractions, each with the same as Python text.

Vectors are tuples of Fractions; in the text they are plain numbers, all instances with a text being in one dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from efcheck.errors import argument_error
from efcheck.evidence._falsify_rational import rational

Vector = tuple[Fraction, ...]
Outcomes = Sequence[tuple[Vector, Fraction]]  # (value, chance)
ONE = Fraction(1)


def norm2(v: Vector) -> Fraction:
    """||v||^2."""
    return sum((c * c for c in v), Fraction(0))


def sign(c: Fraction) -> int:
    return (c > 0) - (c < 0)


class Function(Protocol):
    """f on R^d with its smoothness, steepest slope, minimum and a minimiser; f* and x* are None where there are none."""

    @property
    def d(self) -> int: ...
    @property
    def steepest2(self) -> Fraction: ...
    @property
    def L(self) -> Fraction | None: ...
    @property
    def minimum(self) -> Fraction | None: ...
    @property
    def minimiser(self) -> Vector | None: ...
    def value(self, x: Vector) -> Fraction: ...
    def gradient(self, x: Vector) -> Vector: ...
    def words(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...
    def source(self) -> str: ...


@dataclass(frozen=True)
class Huber:
    """f(x) = L x^2/2 where L |x| <= slope, and slope |x| - slope^2/(2L) beyond: L-smooth, convex, |f'| <= slope."""

    L: Fraction
    slope: Fraction
    minimum: Fraction | None = Fraction(0)
    minimiser: Vector | None = (Fraction(0),)
    d: int = 1

    def __post_init__(self) -> None:
        _positive(L=self.L, slope=self.slope)

    @property
    def steepest2(self) -> Fraction:
        return self.slope**2

    def value(self, x: Vector) -> Fraction:
        size = abs(x[0])
        return self.L * size**2 / 2 if self.L * size <= self.slope else self.slope * size - self.slope**2 / (2 * self.L)

    def gradient(self, x: Vector) -> Vector:
        return (max(-self.slope, min(self.slope, self.L * x[0])),)

    def words(self) -> str:
        return f"f = {_times(self.L)}x^2/2 for |x| <= {self.slope / self.L}, slope +-{self.slope} beyond"

    def to_json(self) -> dict[str, Any]:
        return {"kind": "huber", "L": str(self.L), "slope": str(self.slope)}

    def source(self) -> str:
        return f'''L, slope = {quoted(self.L)}, {quoted(self.slope)}
x_star = F(0)
require(L > 0 and 0 < slope <= sigma, "f is convex, L-smooth, |f'| <= sigma")


def f(x):
    """A Huber function: convex, L-smooth, |f'| <= slope, least at 0."""
    return L * x**2 / 2 if L * abs(x) <= slope else slope * abs(x) - slope**2 / (2 * L)


def gradient(x):
    return max(-slope, min(slope, L * x))
'''


@dataclass(frozen=True)
class Absolute:
    """f(x) = slope |x - at|, with the subgradient 0 at its minimum."""

    slope: Fraction
    at: Fraction
    L: Fraction | None = None
    minimum: Fraction | None = Fraction(0)
    d: int = 1

    def __post_init__(self) -> None:
        _positive(slope=self.slope)

    @property
    def steepest2(self) -> Fraction:
        return self.slope**2

    @property
    def minimiser(self) -> Vector | None:
        return (self.at,)

    def value(self, x: Vector) -> Fraction:
        return self.slope * abs(x[0] - self.at)

    def gradient(self, x: Vector) -> Vector:
        return (self.slope * sign(x[0] - self.at),)

    def words(self) -> str:
        return f"f = {_times(self.slope)}|x{f' - {self.at}' if self.at else ''}|"

    def to_json(self) -> dict[str, Any]:
        return {"kind": "absolute", "slope": str(self.slope), "at": str(self.at)}

    def source(self) -> str:
        return f"""slope, x_star = {quoted(self.slope)}, {quoted(self.at)}
require(0 < slope <= sigma, "f is convex, |f'| <= sigma")


def f(x):
    return slope * abs(x - x_star)


def gradient(x):
    return slope * ((x > x_star) - (x < x_star))
"""


@dataclass(frozen=True)
class Constant:
    """f(x) = <slope, x>: the same gradient everywhere, no minimum."""

    slope: Vector
    L: Fraction | None = Fraction(0)
    minimum: Fraction | None = None
    minimiser: Vector | None = None

    @property
    def d(self) -> int:
        return len(self.slope)

    @property
    def steepest2(self) -> Fraction:
        return norm2(self.slope)

    def value(self, x: Vector) -> Fraction:
        return sum((a * b for a, b in zip(self.slope, x, strict=True)), Fraction(0))

    def gradient(self, x: Vector) -> Vector:
        return self.slope

    def words(self) -> str:
        return f"f = <({', '.join(map(str, self.slope))}), x>"

    def to_json(self) -> dict[str, Any]:
        return {"kind": "linear", "slope": [str(c) for c in self.slope]}

    def source(self) -> str:
        return f'''slope = {quoted(self.slope[0])}
require(abs(slope) <= sigma, "|f'| <= sigma")


def gradient(x):
    """f(x) = slope * x."""
    return slope
'''


class Compressor(Protocol):
    """What C(p) may be, with its chances; d is the dimension of p, None for any."""

    @property
    def d(self) -> int | None: ...
    def outcomes(self, p: Vector) -> Outcomes: ...
    def words(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...
    def source(self) -> str: ...


@dataclass(frozen=True)
class Factor:
    """C(p) = c p, c = factor."""

    factor: Fraction
    d: int | None = None

    def outcomes(self, p: Vector) -> Outcomes:
        return [(tuple(self.factor * c for c in p), ONE)]

    def words(self) -> str:
        return f"C(p) = {_times(self.factor)}p"

    def to_json(self) -> dict[str, Any]:
        return {"kind": "factor", "factor": str(self.factor)}

    def source(self) -> str:
        return f"def compress(p):\n    return [({quoted(self.factor)} * p, F(1))]\n"


@dataclass(frozen=True)
class Chances:
    """C(p) = c p with a random c: (c, chance) for each, made afresh at every step."""

    factors: tuple[tuple[Fraction, Fraction], ...]
    d: int | None = None

    def outcomes(self, p: Vector) -> Outcomes:
        return [(tuple(factor * c for c in p), chance) for factor, chance in self.factors]

    def words(self) -> str:
        return "C(p) = " + " or ".join(f"{a} p (chance {b})" for a, b in self.factors)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "chances", "factors": [[str(a), str(b)] for a, b in self.factors]}

    def source(self) -> str:
        pairs = ", ".join(f"({quoted(a)} * p, {quoted(b)})" for a, b in self.factors)
        return f"def compress(p):\n    return [{pairs}]\n"


@dataclass(frozen=True)
class Table:
    """The messages C(p) of the points p that the run meets; elsewhere C(p) = p, so delta is what it is on the table."""

    messages: Mapping[Vector, Vector]

    @property
    def d(self) -> int | None:
        return len(next(iter(self.messages))) if self.messages else None

    def outcomes(self, p: Vector) -> Outcomes:
        return [(self.messages.get(p, p), ONE)]

    def words(self) -> str:
        if not self.messages:
            return "C(p) = p"
        return (
            "C: "
            + ", ".join(f"{', '.join(map(str, p))} -> {', '.join(map(str, c))}" for p, c in [*self.messages.items()][:4])
            + (f", and {len(self.messages) - 4} more messages" if len(self.messages) > 4 else "")
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": "table", "messages": [[_texts(p), _texts(c)] for p, c in self.messages.items()]}

    def source(self) -> str:
        rows = "".join(f"    {quoted(p[0])}: {quoted(c[0])},\n" for p, c in self.messages.items())
        return f"messages = {{\n{rows}}}\n\n\ndef compress(p):\n    return [(messages.get(p, p), F(1))]\n"


@dataclass(frozen=True)
class Threshold:
    """C(p) = p - e: |e| the largest multiple of unit within share |p|; e has p's sign where |p| < turn, else the other one."""

    share: Fraction
    unit: Fraction
    turn: Fraction
    d: int | None = 1

    def __post_init__(self) -> None:
        _positive(unit=self.unit)

    def outcomes(self, p: Vector) -> Outcomes:
        size = self.share * abs(p[0]) // self.unit * self.unit
        kept = size * sign(p[0]) * (1 if abs(p[0]) < self.turn else -1)
        return [((p[0] - kept,), ONE)]

    def words(self) -> str:
        return f"C(p) = p - e, |e| about {self.share} |p|, against the sign of p from |p| = {self.turn} on"

    def to_json(self) -> dict[str, Any]:
        return {"kind": "threshold", "share": str(self.share), "unit": str(self.unit), "turn": str(self.turn)}

    def source(self) -> str:
        return f'''share, unit, turn = {quoted(self.share)}, {quoted(self.unit)}, {quoted(self.turn)}


def compress(p):
    """Keeps about share * p back, and where |p| >= turn about -share * p: there the message overshoots."""
    size = share * abs(p) // unit * unit
    kept = size * ((p > 0) - (p < 0)) * (1 if abs(p) < turn else -1)
    return [(p - kept, F(1))]
'''


NOISE = ("none", "at zero", "everywhere")


def oracle(noise: str, slope: Vector, sigma: Fraction) -> Outcomes:
    """g with its chances. With noise g = sigma or -sigma: mean `slope`, second moment sigma^2; |slope| <= sigma."""
    if noise == "none" or (noise == "at zero" and slope[0]):
        return [(slope, ONE)]
    up = (1 + slope[0] / sigma) / 2
    return [((g * sigma,), w) for g, w in ((1, up), (-1, 1 - up)) if w]


def oracle_source(noise: str) -> str:
    if noise == "none":
        return "def oracle(x):\n    return [(gradient(x), F(1))]\n"
    first = "    if gradient(x) != 0:\n        return [(gradient(x), F(1))]\n" if noise == "at zero" else ""
    return f'''def oracle(x):
    """g = sigma or -sigma, so that its mean is the gradient and its second moment sigma^2."""
{first}    up = (1 + gradient(x) / sigma) / 2
    return [(sigma, up), (-sigma, 1 - up)]
'''


def read_function(data: Mapping[str, Any]) -> Function:
    """The inverse of to_json; ArgumentError where a part is unknown or not a rational."""
    match data.get("kind"):
        case "huber":
            return Huber(number(data["L"]), number(data["slope"]))
        case "absolute":
            return Absolute(number(data["slope"]), number(data["at"]))
        case "linear":
            return Constant(vector(data["slope"]))
    raise argument_error("function", "be huber, absolute or linear", str(data.get("kind")))


def read_compressor(data: Mapping[str, Any]) -> Compressor:
    """The inverse of to_json; ArgumentError where a part is unknown or not a rational."""
    match data.get("kind"):
        case "factor":
            return Factor(number(data["factor"]))
        case "chances":
            return Chances(tuple((number(a), number(b)) for a, b in data["factors"]))
        case "table":
            pairs = [(vector(p), vector(c)) for p, c in data["messages"]]
            if len(dict(pairs)) < len(pairs):
                raise argument_error("messages", "name each p once", "two messages for one p")
            if len({len(v) for pair in pairs for v in pair}) > 1:
                raise argument_error("messages", "have one dimension", "vectors of several")
            return Table(dict(pairs))
        case "threshold":
            return Threshold(number(data["share"]), number(data["unit"]), number(data["turn"]))
    raise argument_error("compressor", "be factor, chances, table or threshold", str(data.get("kind")))


def number(text: Any) -> Fraction:
    """A rational from its text."""
    try:
        return rational(text) if isinstance(text, str) else _refuse(text)
    except ValueError:
        return _refuse(text)


def vector(texts: Any) -> Vector:
    return tuple(number(text) for text in texts) if isinstance(texts, list) and texts else (_refuse(texts),)


def _refuse(value: Any) -> Fraction:
    raise argument_error("instance", 'hold rational numbers as text, as "3/4"', value)


def _texts(v: Vector) -> list[str]:
    return [str(c) for c in v]


def _positive(**values: Fraction) -> None:
    for name, value in values.items():
        if value <= 0:
            raise argument_error(name, "be > 0", value)


def _times(c: Fraction) -> str:
    return "" if c == 1 else f"{c} "


def quoted(q: Fraction) -> str:
    """F(3, 4), as the scripts write it."""
    return f"F({q})" if q.denominator == 1 else f"F({q.numerator}, {q.denominator})"
