"""Deciding a relation with z3, and the search for a round witness. See `prove`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import sympy
import z3
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom

from efcheck.errors import argument_error, real
from efcheck.evidence._translate import Translator, Unsupported, by_assumption
from efcheck.evidence.evidence import Evidence

_HALF, _ONE = Fraction(1, 2), Fraction(1)
_SHARES = [Fraction(a, b) for a, b in [(1, 4), (3, 4), (3, 2), (1, 3), (2, 3), (1, 10), (9, 10)]]
_ROUND = [_ONE, 0 * _ONE, 2 * _ONE, -_ONE, _HALF, 3 * _ONE, -2 * _ONE, -_HALF, *_SHARES]
_ROUND += [Fraction(a) for a in (4, 5, 10, -3, -4, -5, -10)]
_FAR = [Fraction(a) for a in (20, 50, 100, 1000, 10000, -20, -100, -1000)]
_FAR += [Fraction(1, 100), Fraction(99, 100), Fraction(1, 1000)]


class Unconfirmed(Exception):
    """A point where SymPy cannot evaluate the relation exactly."""


class Problem:
    """Hypotheses and relation, translated with integers as reals (`integers` False) or as they are."""

    def __init__(self, relation: Any, assume: list[Any], symbols: list[Any], integers: bool) -> None:
        translator = Translator(symbols, integers)
        assumptions = [translator.formula(a) for a in assume]
        goal = translator.formula(relation)
        self.variables = translator.variables
        self.restricted = bool(translator.domain)
        self.base = [*translator.hypotheses, *assumptions, *translator.domain, *translator.sides]
        self.negation = z3.Not(goal)
        self.integers = integers


def decide(relation: Any, assume: Any, timeout_s: float, kind: str, covers: str) -> Evidence:
    """`prove` without its import guard."""
    start = time.perf_counter()
    deadline = start + real("timeout_s", timeout_s, 0.0, open_ends=True)
    relation = _clean("relation", relation)
    single = isinstance(assume, (bool, Boolean))
    hypotheses = [_clean(f"assume[{i}]", a) for i, a in enumerate([assume] if single else _items(assume))]
    symbols = _symbols([relation, *hypotheses])

    def evidence(outcome: str, detail: str, **data: Any) -> Evidence:
        return Evidence(kind, outcome, detail, data, covers, time.perf_counter() - start)

    identity = _identically_zero(relation)
    goal = sympy.true if identity else relation
    try:
        relaxed = Problem(goal, hypotheses, symbols, integers=False)
        whole = any(s.is_integer or (s.is_real and s.is_integer is False) for s in symbols)
        mixed = Problem(goal, hypotheses, symbols, integers=True) if whole else relaxed
        restricted = relaxed.restricted or (identity and _may_be_undefined(relation))
    except Unsupported as error:
        return evidence("undecided", f"not covered by the translation to z3: {error}")

    met = _check(relaxed.base, deadline, 0.5, True)
    if whole and met != z3.unsat:
        met = _check(mixed.base, deadline, 0.5, False)
        if met == z3.unknown and _points(relaxed, relaxed.base, symbols, time.perf_counter() + 2.0):
            met = z3.sat
    if met == z3.unsat:
        where = " where both sides are defined" if relaxed.restricted else ""
        raise argument_error("assume", "be satisfiable" + where, _hypotheses(symbols, hypotheses) or "no hypothesis")
    if met == z3.unknown:
        return evidence("undecided", "z3 could not tell in time whether the hypotheses can be met")

    suffix = "; points where a side is undefined are outside" if restricted else ""
    scope = _scope(symbols, hypotheses) + suffix
    if identity:
        return evidence("proved", f"the two sides are equal after expansion{scope}")
    if relation == sympy.true:
        return evidence("proved", f"true by evaluation{scope}")

    answer = _check([*relaxed.base, relaxed.negation], deadline, 0.6 if whole else 0.9, True)
    if whole and answer != z3.unsat:
        answer = _check([*mixed.base, mixed.negation], deadline, 0.8, False)
    if answer == z3.unsat:
        return evidence("proved", f"no counterexample exists{scope}")

    until = max(deadline, time.perf_counter() + 2.0)
    tried = 0
    for problem in (relaxed, mixed) if whole else (relaxed,):
        for point in _points(problem, [*problem.base, problem.negation], symbols, until):
            tried += 1
            try:
                shown = _violation(relation, hypotheses, point)
            except Unconfirmed:
                continue
            witness = {symbol.name: str(value) for symbol, value in point.items()}
            at = f"false at {', '.join(f'{n} = {v}' for n, v in witness.items())}: " if witness else "false: "
            return evidence("refuted", at + shown + suffix, witness=witness)
        if time.perf_counter() > until:
            break
    if answer == z3.unknown:
        return evidence("undecided", f"z3 gave up or ran out of {timeout_s:g} s")
    found = f"{tried} rational points tried" if tried else "no rational point found"
    return evidence("undecided", f"z3 reports a counterexample, but {found} and none confirmed exactly")


def _items(assume: Any) -> list[Any]:
    if not isinstance(assume, Iterable):
        raise argument_error("assume", "be a relation or an iterable of relations", assume)
    return list(assume)


def _clean(name: str, expr: Any) -> Any:
    if isinstance(expr, bool):
        return sympy.true if expr else sympy.false
    if not isinstance(expr, (Boolean, BooleanAtom)) or isinstance(expr, sympy.Symbol):
        raise argument_error(name, "be a SymPy relation, or true or false", expr)
    return expr.xreplace({f: sympy.Rational(f) for f in expr.atoms(sympy.Float)})


def _symbols(expressions: list[Any]) -> list[Any]:
    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=lambda s: (s.name, str(s.assumptions0)))
    for symbol in symbols:
        facts = symbol.assumptions0
        if symbol.is_extended_real is False or (facts.get("complex") and symbol.is_real is None):
            raise argument_error("relation", "have real symbols", f"{symbol.name}, which is not declared real")
        if not symbol.is_commutative:
            raise argument_error("relation", "have real symbols", f"{symbol.name}, which does not commute")
    for first, second in pairwise(symbols):
        if first.name == second.name:
            hint = "Use one Symbol object in relation and hypotheses."
            raise argument_error("assume", "name each symbol once", f"two different symbols {first.name}", hint)
    return symbols


def _may_be_undefined(relation: Any) -> bool:
    powers = [p for p in relation.atoms(sympy.Pow) if p.free_symbols and not (p.exp.is_Integer and p.exp > 0)]
    return any(not (p.exp.is_Rational and by_assumption(p)) for p in powers) or bool(relation.atoms(sympy.Piecewise))


def _identically_zero(relation: Any) -> bool:
    """Whether the sides of an Eq, Le or Ge differ by 0 as rational functions of their symbols."""
    if not isinstance(relation, (sympy.Eq, sympy.Le, sympy.Ge)) or any(isinstance(s, Boolean) for s in relation.args):
        return False
    if relation.has(sympy.oo, sympy.zoo, sympy.nan, sympy.I):
        return False
    if not all(p.exp.is_Integer for p in relation.atoms(sympy.Pow)) or relation.atoms(sympy.Function):
        return bool(sympy.expand(relation.lhs - relation.rhs) == 0)
    difference = sympy.fraction(sympy.together(relation.lhs - relation.rhs))[0]
    return bool(sympy.expand(difference) == 0)


def _check(constraints: list[Any], deadline: float, share: float, pure: bool) -> Any:
    """sat, unsat or unknown within `share` of the time left; nlsat first where all variables are real."""
    for solver in [z3.SolverFor("QF_NRA"), z3.Solver()] if pure else [z3.Solver()]:
        left = max(0.05, (deadline - time.perf_counter()) * share)
        solver.set("timeout", max(1, int(1000 * left)))
        solver.add(*constraints)
        try:
            answer = solver.check()
        except z3.Z3Exception:
            answer = z3.unknown
        if answer != z3.unknown:
            return answer
    return z3.unknown


def _points(problem: Problem, constraints: list[Any], symbols: list[Any], until: float) -> Iterator[dict[Any, Any]]:
    """Rational solutions in numbers as round as can be found: one symbol after the other is fixed."""

    def solve(extra: list[Any]) -> Any:
        left = min(1.0, until - time.perf_counter())
        if left <= 0:
            return None
        for solver in [z3.Solver()] if problem.integers else [z3.SolverFor("QF_NRA"), z3.Solver()]:
            solver.set("timeout", max(1, int(1000 * left)))
            solver.add(*constraints, *extra)
            try:
                if (answer := solver.check()) == z3.sat:
                    return solver.model()
            except z3.Z3Exception:
                continue
            if answer == z3.unsat:
                return None
        return None

    def fix(rest: list[Any], extra: list[Any], point: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        if not rest:
            yield {s: point[s] for s in symbols}
            return
        symbol, *others = rest
        variable = problem.variables[symbol]
        model = solve(extra)
        guesses = _nearby(model, variable) if model is not None else []
        exact = guesses[-1:] if guesses else []
        seen = set()
        for value in [*_ROUND, *guesses, *_FAR, *exact]:
            if value in seen or not _fits(symbol, value):
                continue
            seen.add(value)
            if time.perf_counter() > until:
                return
            fixed = [*extra, variable == z3.RealVal(f"{value.numerator}/{value.denominator}")]
            if solve(fixed) is not None:
                yield from fix(others, fixed, {**point, symbol: sympy.Rational(value.numerator, value.denominator)})
                return

    if not symbols:
        if solve([]) is not None:
            yield {}
        return
    for rest in [symbols, symbols[::-1]] if len(symbols) > 1 else [symbols]:
        yield from fix(rest, [], {})


def _nearby(model: Any, variable: Any) -> list[Fraction]:
    """Rationals near the model's value, the roundest first."""
    value = model.eval(variable, model_completion=True)
    if z3.is_algebraic_value(value):
        value = value.approx(20)
    if not z3.is_rational_value(value):
        return []
    exact = value.as_fraction()
    number = Fraction(int(exact.numerator), int(exact.denominator))
    close = [number.limit_denominator(n) for n in (1, 2, 4, 10, 100, 1000, 10**4, 10**6, 10**9)]
    return [*close, number.__floor__() + Fraction(0), number.__ceil__() + Fraction(0), number]


def _fits(symbol: Any, value: Fraction) -> bool:
    """Whether every assumption of the symbol holds of the number."""
    number = sympy.Rational(value.numerator, value.denominator)
    return all(getattr(number, f"is_{fact}") == truth for fact, truth in symbol.assumptions0.items())


def _truth(expr: Any, point: dict[Any, Any]) -> bool:
    """The exact truth value at a point, or Unconfirmed."""
    if expr in (sympy.true, sympy.false):
        return bool(expr)
    if isinstance(expr, Relational):
        lhs, rhs = _number(expr.lhs, point), _number(expr.rhs, point)
        answer = expr.func(lhs, rhs)
        if answer not in (sympy.true, sympy.false):
            difference = sympy.simplify(lhs - rhs)
            answer = expr.func(difference, 0)
        if answer not in (sympy.true, sympy.false):
            raise Unconfirmed
        return bool(answer)
    values = [sympy.true if _truth(arg, point) else sympy.false for arg in expr.args]
    return bool(expr.func(*values))


def _number(expr: Any, point: dict[Any, Any]) -> Any:
    try:
        value = expr.subs(point)
    except (ValueError, TypeError, ZeroDivisionError, RecursionError):
        raise Unconfirmed from None
    if not value.is_number or value.is_real is not True or value.is_finite is not True:
        raise Unconfirmed
    return value


def _violation(relation: Any, hypotheses: list[Any], point: dict[Any, Any]) -> str:
    """The relation at the point in numbers; Unconfirmed unless it is exactly false there and the hypotheses hold."""
    if any(not _truth(a, point) for a in hypotheses) or _truth(relation, point):
        raise Unconfirmed
    if isinstance(relation, Relational):
        return f"{_number(relation.lhs, point)} {relation.rel_op} {_number(relation.rhs, point)}"
    return "false by evaluation" if relation == sympy.false else "the statement does not hold there"


def _hypotheses(symbols: list[Any], hypotheses: list[Any]) -> str:
    """The hypotheses in words, those from the symbols' assumptions first."""
    words = []
    for symbol in symbols:
        given = symbol._assumptions_orig if hasattr(symbol, "_assumptions_orig") else symbol.assumptions0
        facts = [f if truth else f"not {f}" for f, truth in given.items() if f not in ("commutative", "real")]
        if facts:
            words.append(f"{symbol.name} {' and '.join(facts)}")
    return ", ".join([*words, *(str(a) for a in hypotheses if a != sympy.true)])


def _scope(symbols: list[Any], hypotheses: list[Any]) -> str:
    if not symbols:
        return ""
    told = _hypotheses(symbols, hypotheses)
    return f", for all real {', '.join(s.name for s in symbols)}" + (f" with {told}" if told else "")
