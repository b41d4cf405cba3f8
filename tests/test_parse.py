"""efcheck.evidence.parse: a relation or an ArgumentError, nothing else; what is read is what was written."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.logic.boolalg import Boolean

from efcheck.errors import ArgumentError
from efcheck.evidence import parse, prove
from efcheck.evidence.parse import number, relation, statement

x, y, k = sympy.symbols("x y k", real=True)
F = Fraction


# --- what is accepted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4*k*(k-1) <= 2*k**2", 4 * k * (k - 1) <= 2 * k**2),
        ("0.1*x == y", sympy.Eq(x / 10, y)),
        ("x != 1e-3", sympy.Ne(x, sympy.Rational(1, 1000))),
        ("-x**2 < .5", -(x**2) < sympy.Rational(1, 2)),
        ("0 <= x <= 1", sympy.And(sympy.Le(0, x), x <= 1)),
        ("x < 1 or not y >= 2 and x > 0", sympy.Or(x < 1, sympy.And(y < 2, x > 0))),
        ("abs(x) >= sign(x)*min(x, y, 3)", sympy.Abs(x) >= sympy.sign(x) * sympy.Min(x, y, 3)),
        ("max(x, y)**(1/2) <= sqrt(2)", sympy.sqrt(sympy.Max(x, y)) <= sympy.sqrt(2)),
        ("2**3**2 <= x", sympy.Le(512, x)),
        ("x <= y + 0.99*10**-2", x <= y + sympy.Rational(99, 10000)),
        ("  x\n <=\t1_000 ", x <= 1000),
        ("(x <= 1)", x <= 1),
        ("E + I >= S", sympy.Symbol("E", real=True) + sympy.Symbol("I", real=True) >= sympy.Symbol("S", real=True)),
        ("1 < 2", sympy.true),
        ("x**2 < 0", sympy.false),
    ],
)
def test_relation_reads_what_is_written(text: str, expected: Any) -> None:
    assert relation(text) == expected


def test_a_decimal_is_the_fraction_it_says_and_no_float_is_left() -> None:
    found = relation("0.1 + 0.2 == 0.3*x")
    assert found == sympy.Eq(sympy.Rational(3, 10), sympy.Rational(3, 10) * x) and not found.atoms(sympy.Float)
    assert relation("0.1 + 0.2 == 0.3") == sympy.true


@pytest.mark.parametrize(
    ("text", "value"), [("1/1200", F(1, 1200)), ("1e-3", F(1, 1000)), ("-2**2", F(-4)), ("max(1,2)/4", F(1, 2))]
)
def test_number_is_exact(text: str, value: Fraction) -> None:
    assert number(text) == sympy.Rational(value.numerator, value.denominator)
    with pytest.raises(ArgumentError, match=r"`sigma` must be a number, .*; got 'x' at column 3\."):
        number("1+x", "sigma")


# --- what is refused, where, and with which hint

REFUSED = {
    "caret": ("x^2 <= 1", "'x^2' at column 1. Write ** for a power."),
    "caret in a sum": ("1 <= y + x^2", "at column 6. Write ** for a power."),
    "product": ("2x <= 3", "Write * for a product."),
    "product with parentheses": ("3(x+1) <= 2", "'3(x+1)' at column 1. Write * for a product."),
    "one equals sign": ("x = 1", "'= 1' at column 3. Write =="),
    "arrow": ("x => 1", "<= and >= for the others."),
    "Python's word": ("lambda <= 1", "`lambda` is a word of Python; use another letter."),
    "and as a sign": ("x < 1 & y < 2", "Write `and`."),
    "or as a sign": ("(x < 1) | (y < 2)", "Write `or`."),
    "not as a sign": ("~(x < 1)", "Write `not`."),
    "comma": ("x < 1, y < 2", "Join relations with `and`."),
    "term alone": ("x + 1", "It is a term; compare it with something."),
    "relation as a number": ("(x < 1) + 1 <= 2", "'x < 1' at column 2. A relation is not a number."),
    "unfinished": ("x <=", "It is not complete"),
    "other script": ("x \u2264 1", "'\\u2264' at column 3. Only ASCII"),
    "comment": ("x <= 1 # y", "'#' at column 8."),
    "empty": ("  ", "0 characters."),
    "long": ("x <= " + "1+" * 600 + "1", "characters. Use 1 to 1000."),
    "pi": ("pi <= 4", "No number is called pi here."),
    "infinity": ("x <= oo", "No number is called oo here."),
    "unknown function": ("exp(x) >= 1 + x", "exp is none of sqrt, abs, sign, min, max"),
    "function without arguments": ("abs <= 1", "abs is a function of something."),
    "too many arguments": ("sqrt(x, 2) <= 1", "sqrt takes one argument."),
    "keyword": ("sqrt(x=1) <= 1", "sqrt takes one argument."),
    "starred": ("max(*x) <= 1", "'*x' at column 5."),
    "attribute": ("x.real <= 1", "'x.real' at column 1."),
    "dunder": ("().__class__.__base__ <= 1", "at column 1."),
    "import": ("__import__('os').system('true') <= 1", "at column 1."),
    "lambda call": ("(lambda: 1)() <= 1", "at column 1."),
    "walrus": ("(x := 1) <= 1", "at column 2."),
    "subscript": ("x[0] <= 1", "'x[0]' at column 1."),
    "list": ("[1] <= 2", "'[1]' at column 1."),
    "comprehension": ("[z for z in x] <= 2", "at column 1."),
    "string": ("'a' <= 1", "at column 1."),
    "f-string": ("f'{x}' <= 1", "at column 1."),
    "imaginary": ("x <= 1j", "'1j' at column 6."),
    "hexadecimal": ("0x10 <= x", "'0x10' at column 1."),
    "truth value": ("True <= 1", "'True' at column 1."),
    "membership": ("x in y", "'x in y' at column 1."),
    "floor division": ("x//2 <= 1", "'x//2' at column 1."),
    "choice": ("x < 1 if y else x < 2", "at column 1."),
    "symbolic exponent": ("x**n <= 1", "The exponent must be a number such as 2 or 1/2."),
    "large exponent": ("x**65 <= 1", "Exponents go up to 64."),
    "tower": ("9**9**9 <= x", "Exponents go up to 64."),
    "power of a power": ("((x+1)**64)**64 <= 1", "degree 200."),
    "large expansion": ("(a+b+c+d+e+f+g+h)**64 <= 0", "more than 5000 terms"),
    "common denominator": ("+".join(f"1/(x{i}+y{i})" for i in range(20)) + " <= 1", "more than 5000 terms"),
    "long number": (f"{'9' * 101} <= x", "Numbers have at most 100 digits"),
    "large exponent of a number": ("1e999999999 <= x", "exponents up to 400."),
    "deep": ("-" * 300 + "x <= 1", "It is too deeply nested"),
    "deep parentheses": ("(" * 300 + "x" + ")" * 300 + " <= 1", "column"),
    "by zero": ("1/(x-x) <= 1", "'1/(x-x)' at column 1. It is not a real number anywhere."),
    "zero to a negative power": ("0**-1 <= 1", "It is not a real number anywhere."),
    "root of a negative number": ("(-8)**(1/3) <= 1", "It is not a real number anywhere."),
    "root of a negative term": ("sqrt(-x**2-1) <= 1", "It is not a real number anywhere."),
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_relation_refuses_in_one_line_that_says_where_and_what_is_accepted(text: str, says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        relation(text)
    message = str(caught.value)
    assert message.startswith("`relation` must compare (< <= == != >= >) terms") and says in message
    assert "\n" not in message and len(message) < 320


def test_nothing_in_the_parser_evaluates_text() -> None:
    tree = ast.parse(Path(parse.__file__).read_text())
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert not names & {"eval", "exec", "compile", "__import__", "globals", "vars"}
    assert not attributes & {"sympify", "parse_expr", "literal_eval", "lambdify", "import_module"}


# --- where a statement means something


@pytest.mark.parametrize(
    ("text", "assume"),
    [
        ("sqrt(x)*sqrt(x) >= 0", [x >= 0]),
        ("x/x == 1", [sympy.Ne(x, 0)]),
        ("0/x + y >= 1", [sympy.Ne(x, 0)]),
        ("x**-1*x**2 <= y", [sympy.Ne(x, 0)]),
        ("sqrt(x) <= y", []),
        ("1/x <= y", []),
        ("sqrt(x**2) <= y", []),
    ],
)
def test_statement_keeps_the_conditions_that_sympy_loses(text: str, assume: list[Any]) -> None:
    assert list(statement(text).assume) == assume


def test_a_lost_root_is_no_counterexample() -> None:
    """sqrt(x)*sqrt(x) >= 0 is x >= 0 to SymPy, false at x = -1, where the statement means nothing."""
    assert prove(relation("sqrt(x)*sqrt(x) >= 0")).outcome == "refuted"
    read = statement("sqrt(x)*sqrt(x) >= 0")
    assert prove(read.relation, read.assume).outcome == "proved"


def test_statement_shares_its_letters_and_splits_hypotheses_at_commas() -> None:
    read = statement("n*p >= p", ["n >= 1, p <= 5", "n != 3"], integer=["n"], positive=["p"])
    n, p = sympy.Symbol("n", integer=True), sympy.Symbol("p", positive=True)
    assert set(read.assume) == {n >= 1, p <= 5, sympy.Ne(n, 3)} and read.relation == (n * p >= p)
    both = statement("m >= 1", integer=["m"], positive=["m"]).relation
    assert both == sympy.true  # a positive integer is at least 1
    with pytest.raises(ArgumentError, match=r"`integer` must name letters of the statement \(x\); got z\."):
        statement("x >= 1", integer=["z"])


# --- fuzzing


def accepted(text: str, read: Callable[[str], Any] = relation) -> Any:
    try:
        found = read(text)
    except ArgumentError as error:
        assert "\n" not in str(error)
        return None
    return found


TOKENS = "x y n 1 2 0 0.5 1e9 64 1e-400 + - * / ** ^ ( ) ( ) , < <= == != >= > = and or not sqrt( abs( min( max( sign( lambda "
TOKENS += ". [ ] { } : := ' \" \\ # @ % ~ & | is in if else None True __import__( x.y 1j 0x1 ..."


@given(st.text(max_size=60))
def test_any_text_is_a_relation_or_an_argument_error(text: str) -> None:
    found = accepted(text)
    assert found is None or isinstance(found, Boolean)


@given(st.lists(st.sampled_from(TOKENS.split()), max_size=20), st.sampled_from(["", " "]))
def test_any_tokens_are_a_relation_or_an_argument_error(tokens: list[str], gap: str) -> None:
    found = accepted(gap.join(tokens))
    assert found is None or (isinstance(found, Boolean) and not found.has(sympy.I, sympy.oo, sympy.zoo, sympy.nan))


Term = tuple[str, Callable[[dict[str, Fraction]], Fraction]]


def _binary(sign: str, f: Callable[..., Any]) -> Callable[[Term, Term], Term]:
    return lambda a, b: (f"({a[0]} {sign} {b[0]})", lambda at: f(a[1](at), b[1](at)))


def _power(a: Term, n: int) -> Term:
    return f"({a[0]})**{n}", lambda at: a[1](at) ** n


def _call(name: str, f: Callable[..., Any]) -> Callable[[Term, Term], Term]:
    return lambda a, b: (f"{name}({a[0]}, {b[0]})", lambda at: f(a[1](at), b[1](at)))


def _letter(name: str) -> Term:
    return name, lambda at: at[name]


def _constant(text: str) -> Term:
    return text, lambda at: F(text)


leaves = st.one_of(st.sampled_from("xyk").map(_letter), st.sampled_from(["0", "1", "2", "0.1", "1e2", "7.25"]).map(_constant))


def _grow(terms: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    signs = [_binary("+", operator.add), _binary("-", operator.sub), _binary("*", operator.mul), _binary("/", operator.truediv)]
    calls = [_call("min", min), _call("max", max)]
    pairs = st.tuples(st.sampled_from([*signs, *calls]), terms, terms).map(lambda p: p[0](p[1], p[2]))
    powers = st.tuples(terms, st.integers(-3, 3)).map(lambda p: _power(*p))
    absolute = terms.map(lambda a: (f"abs(-{a[0]})", lambda at: abs(a[1](at))))
    return st.one_of(pairs, powers, absolute)


POINTS = [
    dict(zip("xyk", values, strict=True)) for values in [(F(0), F(1), F(2)), (F(-3, 2), F(1, 3), F(-1)), (F(5), F(-2), F(7, 4))]
]
COMPARE = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt}


@settings(max_examples=60)
@given(st.recursive(leaves, _grow, max_leaves=8), leaves, st.sampled_from(sorted(COMPARE)))
def test_what_is_read_has_the_truth_value_of_what_is_written(left: Term, right: Term, sign: str) -> None:
    found = accepted(f"{left[0]} {sign} {right[0]}")
    for point in POINTS:
        try:
            truth = COMPARE[sign](left[1](point), right[1](point))
        except ZeroDivisionError:  # undefined there
            continue
        if found is not None:
            numbers = {{"x": x, "y": y, "k": k}[n]: sympy.Rational(v.numerator, v.denominator) for n, v in point.items()}
            assert bool(found.subs(numbers)) == truth


@pytest.mark.parametrize("planted", ["-", "*"])
def test_a_planted_sign_is_noticed(planted: str) -> None:
    left = _binary("+", operator.add)(_letter("x"), _letter("y"))
    read = relation(f"{left[0].replace('+', planted)} == 1")
    truths = [left[1](point) == 1 for point in POINTS]
    numbers = [{x: sympy.Rational(str(p["x"])), y: sympy.Rational(str(p["y"]))} for p in POINTS]
    assert [bool(read.subs(at)) for at in numbers] != truths
