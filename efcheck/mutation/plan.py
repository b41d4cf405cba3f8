"""What depends on what: every check as it is, the statements that it runs, and for each place the checks that rest on it."""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from efcheck import content
from efcheck.errors import EfcheckError
from efcheck.mutation.finder import names_in
from efcheck.mutation.places import Place, Source, engine_sources
from efcheck.mutation.pool import Answer, Pool, Task
from efcheck.mutation.worker import FACTOR

Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Check:
    """One check of the audit as it is: what it finds, and the statements that it runs."""

    path: str
    claim: str
    form: str
    index: int
    name: str
    outcome: str
    kind: str
    covers: str
    seconds: float
    hits: frozenset[int]


def sources_of(files: list[Path], engine: bool) -> dict[str, Source]:
    """By real path: every file beside the claims and, if asked for, the algorithms of the engine."""
    found = {os.path.realpath(s.path): s for s in engine_sources(content.PACKAGE)} if engine else {}
    for folder in sorted({file.resolve().parent for file in files}):
        for path in sorted(folder.glob("*.py")):
            found[os.path.realpath(path)] = Source(path, f"{folder.name}/{path.name}")
    return found


def baseline(
    files: list[Path], sources: dict[str, Source], pool: Pool, tell: Progress
) -> tuple[list[Check], dict[str, frozenset[int]]]:
    """Every check as it is; and by file of claims, the statements that loading it runs."""
    numbers = {path: i for i, path in enumerate(sources)}
    common: Task = {"files": {}, "watch": numbers, "checks": None, "limits": [600.0]}
    tasks: list[Task] = [{**common, "claims": str(file.resolve())} for file in files]
    checks: list[Check] = []
    loads: dict[str, frozenset[int]] = {}
    count = 0

    def done(i: int, answer: Answer) -> None:
        nonlocal count
        count += 1
        path = tasks[i]["claims"]
        tell(f"as it is: {files[i].name}", count, len(files))
        for line in answer["found"]:
            if "fatal" in line or line.get("outcome") == "error":
                raise EfcheckError(f"{files[i]} must pass before errors are planted: {line.get('fatal') or line['detail']}")
            if "load" in line:
                loads[path] = frozenset(line["load"])
            else:
                rest = {k: line[k] for k in ("claim", "form", "index", "name", "outcome", "kind", "covers", "seconds")}
                checks.append(Check(path=path, hits=frozenset(line["hits"]), **rest))
        if answer["end"] != "done":
            raise EfcheckError(f"{files[i]} must pass before errors are planted: a check took too long or died")

    pool.ask(tasks, done)
    checks.sort(key=lambda c: (c.seconds, c.claim, c.form, c.index))
    return checks, loads


def plan_of(
    sources: dict[str, Source], checks: list[Check], loads: dict[str, frozenset[int]]
) -> tuple[dict[Place, list[Check]], Counter[str], int]:
    """For each place the checks that rest on it; and the places that are left out."""
    plan: dict[Place, list[Check]] = {}
    unreached: Counter[str] = Counter()
    refutations = 0
    paths = list(sources)
    at_load = frozenset().union(*loads.values()) if loads else frozenset()
    users: dict[tuple[int, tuple[str, ...]], set[int]] = {}
    by_hit: dict[int, list[Check]] = {}
    for check in checks:
        for hit in check.hits:
            by_hit.setdefault(hit, []).append(check)
    for number, path in enumerate(paths):
        for place in sources[path].places:
            here = number * FACTOR + place.anchor
            lines = {here} if place.anchor else set()
            if not place.anchor or here in at_load:
                key = (number, place.taints)
                if key not in users:
                    users[key] = {paths.index(p) * FACTOR + n for p, n in _tainted(sources, path, place.taints)}
                lines |= users[key]
            reached = {c for line in lines for c in by_hit.get(line, ())}
            if not reached:
                unreached[place.file] += 1
            elif all(c.outcome == "refuted" for c in reached):
                refutations += 1
            else:
                plan[place] = sorted(reached, key=lambda c: (c.seconds, c.claim, c.form, c.index))
    return plan, unreached, refutations


def _tainted(sources: dict[str, Source], start: str, names: Sequence[str]) -> set[tuple[str, int]]:
    """(path, line) of the functions that use one of these names, or one that a statement of a module makes of them; and of a
    module's statements that use one: a check that they register may be a lambda."""
    found: set[tuple[str, int]] = set()
    tainted = {start: set(names)}
    todo = [start]
    while todo:
        path = todo.pop()
        stem = Path(path).stem
        for other, source in sources.items():
            if other != path and not (tainted[path] and stem in source.text):
                continue
            known = tainted.setdefault(other, set())
            before = len(known)
            used = tainted[path] | known
            for node in ast.walk(source.tree):
                if isinstance(node, ast.FunctionDef) and names_in(node) & used:
                    found.add((other, node.lineno))
            for node in source.tree.body:
                if names_in(node) & used:
                    if isinstance(node, ast.Assign):
                        known |= set().union(*(names_in(target) for target in node.targets))
                    elif isinstance(node, ast.AnnAssign):
                        known |= names_in(node.target)
                    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                        known.add(node.name)
                    elif isinstance(node, (ast.For, ast.Expr)):
                        found |= {(other, inner.lineno) for inner in ast.walk(node) if isinstance(inner, ast.stmt)}
            if len(known) > before:
                todo.append(other)
    return found
