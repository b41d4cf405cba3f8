"""Which errors can be planted in a file: a walk over its syntax tree, in mathematics only.

Places are the algorithms of the engine (`places.ENGINE`), the constants and helper functions of claim files, and in a
check what it proves: the first argument of `prove`, both sides of == and Eq, and what is assigned to the names in them.
Never a hypothesis, a threshold, a tolerance, a sample size, an index, a text, a random instance.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from efcheck.mutation.places import Change, Place, Source

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_RELATIONS = {"prove", "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "And", "Or", "Implies", "Not"}
_GLUE_CALLS = {
    "Claim", "Evidence", "Symbol", "symbols", "argument_error", "arange", "combinations", "default_rng", "dkw", "empty",
    "empty_like", "errstate", "finite", "float", "full", "geomspace", "integer", "islice", "isclose", "len", "linspace",
    "load", "logspace", "ones", "ones_like", "print", "range", "real", "rational", "repeat", "replace", "reshape", "round",
    "search", "monte_carlo", "simulate", "spawn", "str", "zeros", "zeros_like", "finite_vectors", "output", "cycle", "TypeVar",
    "map", "quad", "sign_sgd", "ef_sgd", "isinstance", "join", "Path", "getattr", "hasattr", "_vector", "checked_steps",
    "named",
}  # fmt: skip
_GLUE_KEYWORDS = {
    "T", "alpha", "assume", "atol", "axis", "count", "covers", "data", "detail", "dtype", "every", "hint", "initial", "k",
    "keepdims", "kind", "ndmin", "record", "repeat", "rtol", "runs", "seed", "size", "strict", "timeout_s", "tol", "x0",
}  # fmt: skip
_GLUE_NAMES = re.compile(
    r"(?i)(^|_)(seeds?|runs?|tol(erance)?|budget|sizes?|samples?|limits?|count|checked|width|times|horizons?|detail|shown|"
    r"tested|scripts?|late|gammas|false_alarm|conventions|rules?|sigmas|instances|exact_runs|expected?|where|section|covers|hypothes[ie]s|inside|assume|slack|digits|grid|steps|dims?|cases|starts?)($|_)"
)  # fmt: skip
_SWAPS = {"min": "max", "max": "min", "Min": "Max", "Max": "Min", "minimum": "maximum", "maximum": "minimum"}
_UNWRAP = {"sqrt": "root dropped", "abs": "modulus dropped", "Abs": "modulus dropped", "conjugate": ""}
_TEXTUAL = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp, ast.Dict, ast.Set, ast.GeneratorExp)
_TINY = 1e-5  # a constant below is a tolerance


class Finder:
    """Walks one file. The state says where it is; `_expression` yields the places of one expression."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.function, self.anchor = "", 0
        self.taints: tuple[str, ...] = ()
        self.in_check = False
        self.statements = False  # whether whole statements may be dropped

    def find(self) -> Iterator[Place]:
        for node in self.source.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield from self._definition(node, "")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and self.source.wants(""):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Attribute) for target in targets):
                    continue  # a setting of a library
                names = tuple(sorted(set().union(*(names_in(t) for t in targets))))
                if not any(_GLUE_NAMES.search(n) or n.startswith("__") or n == "_DOMAINS" for n in names):
                    self.function, self.anchor, self.taints, self.in_check = "", 0, names, False
                    yield from self._expression(node.value)

    def _definition(self, node: ast.stmt, prefix: str) -> Iterator[Place]:
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                yield from self._definition(item, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and self.source.wants(prefix + node.name):
            self.function, self.taints = prefix + node.name, (node.name,)
            if node.name in ("__repr__", "__post_init__") or (
                not is_check(node) and not self.source.is_engine and _GLUE_NAMES.search(node.name)
            ):
                return
            if is_check(node) and not self.source.is_engine:
                yield from self._check(node)
            elif not _draws(node) or self.source.is_engine:
                self.statements, self.in_check = True, False
                yield from self._block(node.body)

    def _check(self, node: ast.FunctionDef) -> Iterator[Place]:
        """What the check proves: relations, and what feeds them."""
        fed: set[str] = set()
        for relation in _relations(node):
            fed |= names_in(relation)
        values: dict[str, list[ast.AST]] = {}
        for item in ast.walk(node):
            if isinstance(item, ast.Assign) and not _hypotheses(item.value) and "rng" not in names_in(item.value):
                for name in set().union(*(names_in(t) for t in item.targets)):
                    values.setdefault(name, []).append(item.value)
            elif isinstance(item, ast.FunctionDef) and item is not node:
                values.setdefault(item.name, []).append(item)
        todo = list(fed)
        while todo:
            for value in values.get(todo.pop(), ()):
                new = names_in(value) - fed
                fed |= new
                todo += new
        self.statements, self.in_check = False, True
        yield from self._block(node.body, {n for n in fed if not _GLUE_NAMES.search(n)})

    def _block(self, body: Iterable[ast.stmt], fed: set[str] | None = None) -> Iterator[Place]:
        """Statements of a function; with `fed` only relations and assignments to those names."""
        for node in body:
            if isinstance(node, ast.FunctionDef):
                if fed is None or node.name in fed:
                    yield from self._block(node.body)
                continue
            self.anchor = node.lineno
            if isinstance(node, (ast.For, ast.While, ast.If, ast.With)):
                if fed is not None:
                    heads: list[ast.expr] = []
                    if isinstance(node, ast.If) and any(isinstance(inner, ast.Return) for inner in ast.walk(node)):
                        heads = [node.test]  # an answer hangs on it, not a choice of instances
                    for relation in (r for head in heads for r in _relations(head)):
                        yield from self._expression(relation)
                yield from self._block([*node.body, *getattr(node, "orelse", [])], fed)
            elif (
                isinstance(node, ast.Assign) and fed is not None and (_hypotheses(node.value) or "rng" in names_in(node.value))
            ):
                continue
            elif isinstance(node, ast.Assign) and self._worth(node.targets, fed):
                if self.statements and self.source.is_engine and isinstance(node.targets[0], (ast.Subscript, ast.Tuple)):
                    yield from self._dropped(node)
                yield from self._expression(node.value)
            elif isinstance(node, (ast.Assign, ast.Return, ast.Expr)) and node.value is not None:
                if fed is None and not isinstance(node, ast.Assign):
                    yield from self._expression(node.value)
                elif fed is not None:
                    for relation in _relations(node.value):
                        yield from self._expression(relation)
            elif isinstance(node, ast.AugAssign) and self._worth([node.target], fed):
                yield from self._augmented(node)

    def _worth(self, targets: list[ast.expr], fed: set[str] | None) -> bool:
        names = set().union(*(names_in(t) for t in targets))
        if self.source.is_engine:
            return True
        return not any(_GLUE_NAMES.search(n) for n in names) and (fed is None or bool(names & fed))

    def _augmented(self, node: ast.AugAssign) -> Iterator[Place]:
        if isinstance(node.value, (ast.Constant, *_TEXTUAL)):
            return
        sign = {ast.Add: "-", ast.Sub: "+"}.get(type(node.op))
        if self.statements:
            target, value = (self._text(n) for n in (node.target, node.value))
            flipped = (Change("sign", f"{target} {sign}= {value}"),) if sign else ()
            yield self._place(node, (*flipped, Change("forgotten", "pass")))
        yield from self._expression(node.value)

    def _dropped(self, node: ast.Assign) -> Iterator[Place]:
        yield self._place(node, (Change("forgotten", "pass"),))

    # -- expressions -----------------------------------------------------------------------------------------------

    def _expression(self, node: ast.AST) -> Iterator[Place]:
        if isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.BinOp):
            yield from self._operation(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield self._place(node, (Change("sign", self._text(node.operand)),))
            yield from self._expression(node.operand)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Compare):
            plain = len(node.comparators) == 1 and isinstance(node.ops[0], (ast.Is, ast.IsNot, ast.In, ast.NotIn))
            for side in () if plain else (node.left, *node.comparators):
                yield from self._expression(side)
        elif isinstance(node, ast.comprehension):
            if not isinstance(node.iter, (ast.Tuple, ast.List)):
                yield from self._expression(node.iter)
        elif isinstance(node, ast.Subscript):
            yield from self._expression(node.value)
        elif isinstance(node, ast.IfExp):
            yield from self._expression(node.body)
            yield from self._expression(node.orelse)
        elif not isinstance(node, ast.JoinedStr) and not _hypotheses(node):
            for child in ast.iter_child_nodes(node):
                yield from self._expression(child)

    def _constant(self, node: ast.Constant) -> Iterator[Place]:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value == 0:
            return
        other = [value + 1, value - 1] if isinstance(value, int) else [value * 1.5, value * 0.5]
        gross = (Change("constant", repr(10 * value), True), Change("sign", f"(-{value!r})", True))
        yield self._place(node, (*(Change("constant", repr(v)) for v in other), *gross))

    def _operation(self, node: ast.BinOp) -> Iterator[Place]:
        sides = (node.left, node.right)
        if any(isinstance(s, _TEXTUAL) or (isinstance(s, ast.Constant) and _aside(s.value)) for s in sides):
            return
        if any(isinstance(s, ast.BinOp) and _tolerance(s) for s in sides):
            for side in sides:
                yield from self._expression(side)
            return
        left, right = (self._text(s) for s in sides)
        changes: list[Change] = []
        if isinstance(node.op, (ast.Add, ast.Sub)):
            plus = isinstance(node.op, ast.Add)
            changes = [
                Change("sign", f"(({left}) {'-' if plus else '+'} ({right}))"),
                Change("term dropped", f"({left})"),
                Change("term dropped", f"({'' if plus else '-'}({right}))"),
            ]
        elif isinstance(node.op, (ast.Div, ast.Mult)):
            if not any(_number(s) for s in sides):
                changes = [Change("factor dropped", f"({left})")]
                if isinstance(node.op, ast.Mult):
                    changes.append(Change("factor dropped", f"({right})"))
        elif isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and isinstance(node.right.value, int):
            up, down = node.right.value + 1, node.right.value - 1
            gross = (Change("exponent", str(5 * up), True), Change("exponent", f"(-{up})", True))
            yield self._place(node.right, (Change("exponent", str(down)), Change("exponent", str(up)), *gross))
            yield from self._expression(node.left)
            return
        elif not isinstance(node.op, ast.Pow):
            return  # matrix products, masks, integer division: not a formula of the paper's
        if changes:
            whole = ast.unparse(node)
            gross = (Change("term scaled", f"(10 * ({whole}))", True), Change("sign", f"(-({whole}))", True))
            yield self._place(node, (*changes, *gross))
        for side in sides:
            yield from self._expression(side)

    def _call(self, node: ast.Call) -> Iterator[Place]:
        name = _name(node.func)
        if name in _GLUE_CALLS:
            return
        if name in _UNWRAP and len(node.args) == 1 and not node.keywords:
            yield self._place(node, (Change(_UNWRAP[name], f"({self._text(node.args[0])})"),))
        if name in _SWAPS and len(node.args) > 1:
            yield self._place(node.func, (Change("min, max swapped", self._text(node.func).replace(name, _SWAPS[name])),))
        for keyword in node.keywords:
            if keyword.arg == "key" and isinstance(keyword.value, ast.Lambda) and isinstance(keyword.value.body, ast.Tuple):
                tie = keyword.value.body.elts[-1]
                yield self._place(tie, (Change("tie to the other side", f"-({self._text(tie)})"),))
        if isinstance(node.func, ast.Attribute):
            yield from self._expression(node.func.value)
        for argument in node.args[:1] if name == "prove" else node.args:
            yield from self._expression(argument)
        for keyword in node.keywords:
            if keyword.arg not in _GLUE_KEYWORDS:
                yield from self._expression(keyword.value)

    def _text(self, node: ast.AST) -> str:
        return ast.unparse(node)

    def _place(self, node: ast.expr | ast.stmt, changes: tuple[Change, ...]) -> Place:
        start, end = self.source.span(node)
        old = " ".join(self.source.bytes[start:end].decode().split())
        return Place(
            self.source.name, self.function, node.lineno, self.anchor, start, end, old, changes, self.taints, self.in_check
        )


def _relations(node: ast.AST) -> Iterator[ast.expr]:
    """The outermost relations below a node: first arguments of prove, Eq(...), sides of == and !=."""
    if isinstance(node, ast.Call) and _name(node.func) in _RELATIONS:
        yield from node.args[:1] if _name(node.func) == "prove" else node.args
        return
    if isinstance(node, ast.Compare) and all(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
        yield from (node.left, *node.comparators)
        return
    for child in ast.iter_child_nodes(node):
        yield from _relations(child)


def _hypotheses(node: ast.AST) -> bool:
    return isinstance(node, ast.List) and any(isinstance(e, ast.Compare) for e in node.elts)


def _draws(node: ast.FunctionDef) -> bool:
    """A helper that makes random instances: another instance is no error."""
    arguments = {a.arg for a in node.args.args}
    return bool(arguments & {"seed", "rng"}) or "default_rng" in _called(node)


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _tolerance(node: ast.BinOp) -> bool:
    """As 1 + 1e-9."""
    return any(isinstance(s, ast.Constant) and isinstance(s.value, float) and _aside(s.value) for s in (node.left, node.right))


def _aside(value: object) -> bool:
    """Text, or a tolerance."""
    return isinstance(value, (str, bytes)) or (isinstance(value, float) and 0 < abs(value) < _TINY)


def is_check(node: FunctionNode) -> bool:
    """Registered at a claim, or returning evidence."""
    registered = any(isinstance(d, ast.Attribute) and d.attr in ("printed", "repaired") for d in node.decorator_list)
    return registered or bool({"Evidence", "prove", "search", "monte_carlo", "dkw"} & _called(node))


def _called(node: ast.AST) -> set[str]:
    return {_name(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def names_in(node: ast.AST) -> set[str]:
    """Every name and attribute that is read or written there."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return found | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
