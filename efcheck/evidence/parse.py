"""A reader's own inequality as a SymPy relation. Nothing is evaluated as Python: a fixed list of forms is translated, no other.

    "4*k*(k - 1) <= 2*k**2"      names are real variables; 0.1 is 1/10; a <= b <= c means both
    < <= == != >= >              and  or  not  ( )
    + - * / **                   the exponent of ** is a number: 2, -1, 1/2
    sqrt abs min max sign        sign(0) = 0

SymPy simplifies as it builds, and may lose the places where a statement means nothing: sqrt(x)*sqrt(x) becomes x. Where
a root or a quotient is lost in this way, `statement` keeps its condition (x >= 0) as a hypothesis.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Any

import sympy

from efcheck.errors import ArgumentError, argument_error

_TERM = "terms of numbers, letters, + - * / **, ( ), sqrt, abs, min, max, sign"
_NUMBERS = f"be a number, or an expression of numbers with {_TERM.partition('letters, ')[2]}"
_ACCEPTED = {
    "relation": f"compare (< <= == != >= >) {_TERM}, joined by and, or, not",
    "where": f"compare (< <= == != >= >) {_TERM}, joined by and, or, not, or commas",
}
_COMPARE: dict[type, Any] = {
    ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Eq: sympy.Eq, ast.NotEq: sympy.Ne, ast.GtE: sympy.Ge, ast.Gt: sympy.Gt,
}  # fmt: skip
_FUNCTIONS: dict[str, tuple[Any, int]] = {  # and the largest number of arguments
    "sqrt": (sympy.sqrt, 1), "abs": (sympy.Abs, 1), "sign": (sympy.sign, 1), "min": (sympy.Min, 8), "max": (sympy.Max, 8),
}  # fmt: skip
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_CONSTANTS = ("pi", "oo", "inf", "infinity", "nan")
_HINTS: dict[Any, str] = {
    ast.BitXor: "Write ** for a power.",
    ast.BitAnd: "Write `and`.",
    ast.BitOr: "Write `or`.",
    ast.Invert: "Write `not`.",
}
# What bounds the work of SymPy and z3 on any text: its length and depth, the size of numbers, powers and expansions.
_LENGTH, _DEPTH, _DIGITS, _BITS, _POWER, _DEGREE, _TERMS = 1000, 100, 100, 4096, 64, 200, 5000


@dataclass(frozen=True)
class Statement:
    """What `prove` takes: a relation, and the hypotheses with the conditions that SymPy would have lost."""

    relation: Any
    assume: tuple[Any, ...]


def relation(text: str) -> Any:
    """The relation that `text` says, a SymPy relation, And, Or, Not, true or false.

    Raises
    ------
    ArgumentError
        If it says anything else; the message names the place and what is accepted.

    Examples
    --------
    >>> relation("0.1*x < max(x, 2)**2")
    x/10 < Max(2, x)**2
    >>> relation("x^2 >= 0")
    Traceback (most recent call last):
    efcheck.errors.ArgumentError: `relation` must compare (< <= == != >= >) terms of numbers, letters, + - * / **, ( ), sqrt, abs, min, max, sign, joined by and, or, not; got 'x^2' at column 1. Write ** for a power.
    """  # noqa: E501
    return _Reader().relations("relation", text)[0]


def statement(text: str, where: Iterable[str] = (), integer: Iterable[str] = (), positive: Iterable[str] = ()) -> Statement:
    """`text` under the hypotheses `where`, some letters integer or positive.

    >>> statement("sqrt(x)*sqrt(x) <= k*x", ["k >= 1, k <= 2"], integer=["k"])
    Statement(relation=x <= k*x, assume=(k >= 1, k <= 2, x >= 0))
    """
    facts = {"integer": tuple(integer), "positive": tuple(positive)}
    reader = _Reader(**facts)
    goal = reader.relations("relation", text)[0]
    assume = [hypothesis for line in where for hypothesis in reader.relations("where", line)]
    for fact, names in facts.items():
        for name in names:
            if name not in reader.symbols:
                raise argument_error(fact, f"name letters of the statement ({', '.join(reader.symbols) or 'none'})", name)
    for power, condition in reader.conditions:
        if condition not in assume and not any(expr.has(power) for expr in (goal, *assume)):
            assume.append(condition)
    return Statement(goal, tuple(assume))


def number(text: str, name: str = "number") -> Any:
    """An exact number as text: 1/1200, 1e-3, 1/sqrt(1001); errors call it `name`.

    >>> number("1e-3"), number("2/4"), number("1/sqrt(8)")
    (1/1000, 1/2, sqrt(2)/4)
    """
    return _Reader().number(name, text)


@dataclass(frozen=True)
class _Size:
    """Upper bounds on the terms of an expression's numerator and denominator when expanded, and on their degrees."""

    top: tuple[int, int] = (1, 0)
    bottom: tuple[int, int] = (1, 0)


class _Reader:
    """One table of letters for a statement and its hypotheses."""

    def __init__(self, integer: Sequence[str] = (), positive: Sequence[str] = ()) -> None:
        self.integer, self.positive = integer, positive
        self.symbols: dict[str, Any] = {}
        self.conditions: list[tuple[Any, Any]] = []  # a power as SymPy wrote it, and where it is a real number
        self.name, self.accepted, self.text, self.roots = "", "", "", 0

    def relations(self, name: str, text: str) -> list[Any]:
        """The relation, or with the name `where` one or more, between commas."""
        tree = self._tree(name, _ACCEPTED[name], text)
        listed = isinstance(tree, ast.Tuple) and name == "where" and bool(tree.elts)
        parts = tree.elts if isinstance(tree, ast.Tuple) and listed else [tree]
        return [self._guarded(self._formula, part) for part in parts]

    def number(self, name: str, text: str) -> Any:
        """The exact value of an expression without letters."""
        return self._guarded(self._term, self._tree(name, _NUMBERS, text))[0]

    def _guarded(self, read: Any, node: ast.expr) -> Any:
        try:
            return read(node, 0)
        except ArgumentError:
            raise
        except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError, RecursionError) as error:
            raise self._error(node, f"SymPy finds no meaning in it: {type(error).__name__}.") from None

    def _tree(self, name: str, accepted: str, text: str) -> ast.expr:
        self.name, self.accepted, self.text = name, accepted, " ".join(text.split())
        if not self.text or len(self.text) > _LENGTH:
            raise argument_error(name, accepted, f"{len(self.text)} characters", f"Use 1 to {_LENGTH}.")
        strange = re.search(r"[^ -~]|#", self.text)
        if strange:
            got = f"{strange[0]!a} at column {strange.start() + 1}"
            raise argument_error(name, accepted, got, "Only ASCII without # is read: <= for at most, ** for powers.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as about 1or
                return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            column = max(1, min(error.offset or 1, len(self.text)))
        except (ValueError, MemoryError, RecursionError):
            column = 1
        got = f"{self._short(self.text[column - 1 :])} at column {column}"
        raise argument_error(name, accepted, got, self._syntax_hint())

    def _syntax_hint(self) -> str:
        words = re.findall(r"[A-Za-z_]\w*", self.text)
        taken = [w for w in words if keyword.iskeyword(w) and w not in ("and", "or", "not")]
        if taken:
            return f"`{taken[0]}` is a word of Python; use another letter."
        if re.search(r"(?<![<>=!])=(?!=)", self.text):
            return "Write == for equal, <= and >= for the others."
        if re.search(r"\d[A-Za-z(]|\)[\w(]", self.text):
            return "Write * for a product."
        return "It is not complete, or has a sign too many."

    def _short(self, segment: str) -> str:
        return repr(segment if len(segment) <= 30 else segment[:27] + "...")

    def _error(self, node: ast.expr, hint: str = "") -> ArgumentError:
        segment = self.text[node.col_offset : node.end_col_offset]
        return argument_error(self.name, self.accepted, f"{self._short(segment)} at column {node.col_offset + 1}", hint)

    def _formula(self, node: ast.expr, depth: int) -> Any:
        if depth > _DEPTH:
            raise self._error(node, "It is too deeply nested.")
        if isinstance(node, ast.BoolOp):
            join = sympy.And if isinstance(node.op, ast.And) else sympy.Or
            return join(*(self._formula(value, depth + 1) for value in node.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return sympy.Not(self._formula(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            sides = [self._term(side, depth + 1) for side in (node.left, *node.comparators)]
            links = []
            for i, op in enumerate(node.ops):
                if type(op) not in _COMPARE:
                    raise self._error(node)
                self._combined(node, sides[i][1], sides[i + 1][1])
                links.append(_COMPARE[type(op)](sides[i][0], sides[i + 1][0]))
            return sympy.And(*links)
        operator = getattr(node, "op", None)
        hint = "Join relations with `and`." if isinstance(node, ast.Tuple) else "It is a term; compare it with something."
        raise self._error(node, _HINTS.get(type(operator), hint))

    def _term(self, node: ast.expr, depth: int) -> tuple[Any, _Size]:
        if depth > _DEPTH:
            raise self._error(node, "It is too deeply nested or too long.")
        if isinstance(node, ast.Constant):
            return self._literal(node), _Size()
        if isinstance(node, ast.Name):
            return self._letter(node), _Size((1, 1))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value, size = self._term(node.operand, depth + 1)
            return (-value if isinstance(node.op, ast.USub) else value), size
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)):
            return self._binary(node, *self._term(node.left, depth + 1), *self._term(node.right, depth + 1))
        if isinstance(node, ast.Call):
            return self._call(node, depth), _Size((1, 1))
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            raise self._error(node, "A relation is not a number.")
        raise self._error(node, _HINTS.get(type(getattr(node, "op", None)), ""))

    def _literal(self, node: ast.Constant) -> Any:
        text = self.text[node.col_offset : node.end_col_offset].replace("_", "")
        found = _NUMBER.fullmatch(text)
        if found is None or isinstance(node.value, bool):
            raise self._error(node)
        if len(text) > _DIGITS or (found[2] and abs(int(found[2][1:])) > 400):
            raise self._error(node, f"Numbers have at most {_DIGITS} digits and exponents up to 400.")
        exact = Fraction(text)
        return sympy.Rational(exact.numerator, exact.denominator)

    def _letter(self, node: ast.Name) -> Any:
        name = node.id
        if self.accepted is _NUMBERS or name in _CONSTANTS or name in _FUNCTIONS:
            hint = f"{name} is a function of something." if name in _FUNCTIONS else f"No number is called {name} here."
            raise self._error(node, hint)
        if name not in self.symbols:
            facts = {"integer": True} if name in self.integer else {"real": True}
            self.symbols[name] = sympy.Symbol(name, **facts, **({"positive": True} if name in self.positive else {}))
        return self.symbols[name]

    def _call(self, node: ast.Call, depth: int) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            known = f"{name} is none of {', '.join(_FUNCTIONS)}; write * for a product."
            raise self._error(node, known if name else "Write * for a product.")
        function, most = _FUNCTIONS[name]
        if node.keywords or not 1 <= len(node.args) <= most:
            raise self._error(node, f"{name} takes {'one argument' if most == 1 else f'1 to {most} arguments'}.")
        values = [self._term(arg, depth + 1)[0] for arg in node.args]
        self.roots += 1
        if name == "sqrt":
            return self._power(node, values[0], sympy.Rational(1, 2))
        return self._real(node, function(*values))

    def _binary(self, node: ast.BinOp, a: Any, left: _Size, b: Any, right: _Size) -> tuple[Any, _Size]:
        if isinstance(node.op, (ast.Add, ast.Sub)):
            return (a + b if isinstance(node.op, ast.Add) else a - b), self._combined(node, left, right)
        if isinstance(node.op, ast.Mult):
            return a * b, self._times(node, left, right)
        if isinstance(node.op, ast.Div):
            return self._real(node, a * self._power(node, b, sympy.S.NegativeOne)), self._times(node, left, _over(right))
        if not b.is_Rational:
            raise self._error(node, "The exponent must be a number such as 2 or 1/2.")
        bits = max(int(abs(a.p)).bit_length(), int(a.q).bit_length()) if a.is_Rational else 0
        if b.q > _POWER or (abs(b.p) > _POWER if not a.is_Rational else abs(b.p) * bits > _BITS):
            raise self._error(node, f"Exponents go up to {_POWER}.")
        size, times = (left, int(b.p)) if b.q == 1 else (_Size((1, 1)), int(b.p))
        self.roots += b.q != 1
        grown = _Size(self._raised(size.top, abs(times)), self._raised(size.bottom, abs(times)))
        return self._power(node, a, b), self._checked(node, _over(grown) if times < 0 else grown)

    def _power(self, node: ast.expr, base: Any, exponent: Any) -> Any:
        """base**exponent; where it is a real number is remembered."""
        needs = sympy.true
        if not exponent.is_Integer:
            needs = sympy.Ge(base, 0) if exponent > 0 else sympy.Gt(base, 0)
        elif exponent < 0:
            needs = sympy.Ne(base, 0)
        if needs == sympy.false:
            raise self._error(node, "It is not a real number anywhere.")
        value = self._real(node, base**exponent)
        if needs != sympy.true:
            self.conditions.append((value, needs))
        return value

    def _real(self, node: ast.expr, value: Any) -> Any:
        if value.has(sympy.I, sympy.oo, sympy.zoo, sympy.nan):
            raise self._error(node, "It is not a real number.")
        return value

    # -- how large an expression could become

    def _dense(self, terms: int, degree: int) -> tuple[int, int]:
        letters = len(self.symbols) + self.roots
        return min(terms, comb(degree + letters, letters)), degree

    def _product(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        return self._dense(a[0] * b[0], a[1] + b[1])

    def _raised(self, a: tuple[int, int], times: int) -> tuple[int, int]:
        return self._dense(comb(a[0] + times - 1, times), a[1] * times) if a != (1, 0) else a

    def _times(self, node: ast.expr, a: _Size, b: _Size) -> _Size:
        return self._checked(node, _Size(self._product(a.top, b.top), self._product(a.bottom, b.bottom)))

    def _combined(self, node: ast.expr, a: _Size, b: _Size) -> _Size:
        left, right = self._product(a.top, b.bottom), self._product(b.top, a.bottom)
        top = self._dense(left[0] + right[0], max(left[1], right[1]))
        return self._checked(node, _Size(top, self._product(a.bottom, b.bottom)))

    def _checked(self, node: ast.expr, size: _Size) -> _Size:
        for terms, degree in (size.top, size.bottom):
            if terms > _TERMS or degree > _DEGREE:
                raise self._error(node, f"Expanded, it would have more than {_TERMS} terms or degree {_DEGREE}.")
        return size


def _over(size: _Size) -> _Size:
    return _Size(size.bottom, size.top)
