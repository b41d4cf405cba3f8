"""Translation of SymPy relations to z3: polynomials, quotients, roots, cases. See `prove`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import z3
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

_COMPARE: dict[Any, Callable[[Any, Any], Any]] = {
    sympy.Eq: lambda a, b: a == b,
    sympy.Ne: lambda a, b: a != b,
    sympy.Lt: lambda a, b: a < b,
    sympy.Le: lambda a, b: a <= b,
    sympy.Gt: lambda a, b: a > b,
    sympy.Ge: lambda a, b: a >= b,
}


class Unsupported(Exception):
    """A function that the translation does not cover."""


class Translator:
    """SymPy to z3. `sides` defines auxiliary variables, `domain` says where everything is defined."""

    def __init__(self, symbols: list[Any], integers: bool) -> None:
        self.integers = integers
        self.variables: dict[Any, Any] = {}
        self.hypotheses: list[Any] = []
        self.sides: list[Any] = []
        self.domain: list[Any] = []
        self._roots: dict[Any, Any] = {}
        self._quotients: dict[Any, Any] = {}
        self._fresh = 0
        for symbol in symbols:
            self._declare(symbol)

    def _declare(self, symbol: Any) -> None:
        whole = self.integers and symbol.is_integer
        variable = z3.ToReal(z3.Int(symbol.name)) if whole else z3.Real(symbol.name)
        self.variables[symbol] = variable
        add = self.hypotheses.append
        if symbol.is_extended_positive:
            add(variable > 0)
        elif symbol.is_extended_negative:
            add(variable < 0)
        elif symbol.is_zero:
            add(variable == 0)
        else:
            if symbol.is_extended_nonnegative:
                add(variable >= 0)
            if symbol.is_extended_nonpositive:
                add(variable <= 0)
            if symbol.is_zero is False:
                add(variable != 0)
        if self.integers and (symbol.is_even or symbol.is_odd):
            half = z3.ToReal(z3.Int(self._name("half")))
            add(variable == 2 * half + (1 if symbol.is_odd else 0))
        if self.integers and symbol.is_real and symbol.is_integer is False:
            add(z3.Not(z3.IsInt(variable)))

    def _name(self, stem: str) -> str:
        self._fresh += 1
        return f"{stem}!{self._fresh}"

    def formula(self, expr: Any, guard: Any = True) -> Any:
        """A Boolean expression; what must be defined under `guard` goes to `domain`."""
        if expr in (True, sympy.true):
            return z3.BoolVal(True)
        if expr in (False, sympy.false):
            return z3.BoolVal(False)
        if isinstance(expr, Relational):
            compare = _COMPARE.get(expr.func)
            if compare is None or any(isinstance(side, Boolean) and not side.is_Symbol for side in expr.args):
                raise Unsupported(str(expr))
            self.defined(expr.lhs, guard)
            self.defined(expr.rhs, guard)
            return self.compare(compare, expr.lhs - expr.rhs)
        parts = {
            sympy.And: z3.And,
            sympy.Or: z3.Or,
            sympy.Not: z3.Not,
            sympy.Implies: z3.Implies,
            sympy.Xor: z3.Xor,
        }
        if expr.func is sympy.ITE:
            return z3.If(*(self.formula(arg, guard) for arg in expr.args))
        if expr.func not in parts or (expr.func is sympy.Xor and len(expr.args) != 2):
            raise Unsupported(expr.func.__name__)
        return parts[expr.func](*(self.formula(arg, guard) for arg in expr.args))

    def compare(self, compare: Callable[[Any, Any], Any], difference: Any) -> Any:
        """`difference` against 0 with its denominator multiplied out; the denominator's zeros are outside `domain`."""
        numerator, denominator = sympy.fraction(sympy.together(difference))
        product = numerator
        for factor in sympy.Mul.make_args(denominator):
            base, exponent = factor.as_base_exp()
            if factor.is_number and factor.is_positive:
                continue
            if exponent.is_Integer:
                if exponent % 2:
                    product *= base
            else:
                product *= factor
        return compare(self.term(product), 0)

    def defined(self, expr: Any, guard: Any) -> None:
        """Record where `expr` is a real number."""
        if isinstance(expr, sympy.Piecewise):
            rest = guard
            for value, condition in expr.args:
                holds = self.formula(condition, rest)
                self.defined(value, z3.And(rest, holds))
                rest = z3.And(rest, z3.Not(holds))
            if expr.args[-1][1] != sympy.true:
                self.domain.append(z3.Not(rest))
            return
        for arg in expr.args:
            if isinstance(arg, Boolean) and not arg.is_Symbol:
                raise Unsupported(expr.func.__name__)
            self.defined(arg, guard)
        if expr.is_Pow and expr.exp.is_Rational:
            base = expr.base
            if base.is_Rational and (base > 0 or (base < 0 and expr.exp.is_Integer)):
                return
            if not expr.exp.is_Integer:
                test = _COMPARE[sympy.Gt if expr.exp < 0 else sympy.Ge]
            elif expr.exp < 0:
                test = _COMPARE[sympy.Ne]
            else:
                return
            if by_assumption(expr):
                return
            self.domain.append(z3.Implies(guard, self.compare(test, base)))

    def term(self, expr: Any) -> Any:
        """A real-valued expression."""
        if expr.is_Symbol:
            return self.variables[expr]
        if expr.is_Rational:
            return z3.RealVal(f"{expr.p}/{expr.q}")
        if expr.is_Add:
            return z3.Sum([self.term(arg) for arg in expr.args])
        if expr.is_Mul:
            numerator, denominator = sympy.fraction(expr)
            if denominator.free_symbols:
                return self._quotient(numerator, denominator)
            return z3.Product([self.term(arg) for arg in expr.args])
        if expr.is_Pow:
            return self._power(expr.base, expr.exp)
        if isinstance(expr, sympy.Abs):
            inner = self.term(expr.args[0])
            return z3.If(inner >= 0, inner, -inner)
        if isinstance(expr, sympy.sign):
            inner = self.term(expr.args[0])
            return z3.If(inner > 0, z3.RealVal(1), z3.If(inner < 0, z3.RealVal(-1), z3.RealVal(0)))
        if isinstance(expr, (sympy.Max, sympy.Min)):
            best, *others = (self.term(arg) for arg in expr.args)
            for other in others:
                best = z3.If(other > best if isinstance(expr, sympy.Max) else other < best, other, best)
            return best
        if isinstance(expr, sympy.Piecewise):
            value: Any = z3.RealVal(0)  # outside an incomplete Piecewise, which `domain` excludes
            mark = len(self.domain)
            for branch, condition in reversed(expr.args):
                value = z3.If(self.formula(condition), self.term(branch), value)
            del self.domain[mark:]  # `defined` has recorded these with their guards
            return value
        raise Unsupported(str(expr) if expr.is_number else expr.func.__name__)

    def _power(self, base: Any, exponent: Any) -> Any:
        if not exponent.is_Rational:
            raise Unsupported(f"{sympy.Pow(base, exponent, evaluate=False)}")
        if exponent < 0:
            return self._quotient(sympy.Integer(1), sympy.Pow(base, -exponent))
        if abs(exponent.p) > 64 or exponent.q > 64:
            raise Unsupported(f"power {exponent}")
        if exponent.q == 1:
            return z3.Product([self.term(base)] * int(exponent.p))
        key = (base, exponent.q)
        if key not in self._roots:
            root = z3.Real(self._name("root"))
            self._roots[key] = root
            inner = self.term(base)
            definition = z3.And(root >= 0, z3.Product([root] * int(exponent.q)) == inner)
            self.sides.append(z3.Implies(inner >= 0, definition))
        return z3.Product([self._roots[key]] * int(exponent.p))

    def _quotient(self, numerator: Any, denominator: Any) -> Any:
        key = (numerator, denominator)
        if key not in self._quotients:
            quotient = z3.Real(self._name("quotient"))
            self._quotients[key] = quotient
            below = self.term(denominator)
            self.sides.append(z3.Implies(below != 0, quotient * below == self.term(numerator)))
        return self._quotients[key]


def by_assumption(power: Any) -> bool:
    base = power.base
    if power.exp.is_Integer:
        return bool(base.is_Symbol and base.is_zero is False)
    return bool(base.is_Symbol and (base.is_positive or (power.exp > 0 and base.is_nonnegative)))
