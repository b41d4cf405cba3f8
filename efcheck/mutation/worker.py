"""The process that runs checks against a changed file: `python -m efcheck.mutation.worker MODULE...`.

It has the large libraries loaded and no file that can be changed. For each line of JSON on stdin it forks; the child
sees the changed text in place of the file on disk, loads the claims and runs the checks. Nothing is written to disk.

    task    {"files": {path: text}, "watch": {path: number}, "checks": [...] or null, "claims": path, "limits": [seconds]}
    answer  {"end": "done" | "time" | "died", "found": [what the child found, one object for each check]}

`checks` null means all checks of the file `claims`, and record what they execute. limits[i] is the time until the i-th
line of the child: for each check one when it is loaded and one when it has run.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib.machinery
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HIT = "_efcheck_hit"
FACTOR = 1_000_000  # a hit is the number of the file times this plus the line


def main() -> None:
    """Answer tasks until stdin closes."""
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a check prints is nobody's
    buffer = b""
    while True:
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return
        buffer += chunk
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            answers.write(json.dumps(_forked(json.loads(line))) + "\n")
            answers.flush()


def _forked(task: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(task, write)
    os.close(write)
    try:
        end, text = _listen(read, list(task["limits"]))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
    found = [json.loads(line) for line in text.decode().splitlines() if line.endswith("}")]
    found = [line for line in found if "loaded" not in line]
    return {"end": end, "found": found}


def _listen(read: int, limits: list[float]) -> tuple[str, bytes]:
    """What the child writes, until it is done, dies, or a check takes longer than its limit; stop if the parent is gone."""
    text, lines = b"", 0
    until = time.monotonic() + limits[0]
    while True:
        ready, _, _ = select.select([read, 0], [], [], max(until - time.monotonic(), 0))
        if 0 in ready and read not in ready:
            raise SystemExit  # stdin closed: the parent is gone
        if not ready:
            return "time", text
        chunk = os.read(read, 1 << 16)
        if not chunk:
            return "died", text
        text += chunk
        if text.endswith(b"done\n"):
            return "done", text[: -len(b"done\n")]
        if text.count(b"\n") > lines:
            lines = text.count(b"\n")
            until = time.monotonic() + (limits[lines] if lines < len(limits) else limits[-1])


def _child(task: dict[str, Any], write: int) -> None:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.close(0)
        with os.fdopen(write, "w") as out:

            def say(**what: Any) -> None:
                out.write(json.dumps(what) + "\n")
                out.flush()

            try:
                hits = _install(task["files"], task["watch"])
                if task["checks"] is None:
                    _baseline(Path(task["claims"]), hits, say)
                else:
                    _changed(task["checks"], say)
            except (Exception, SystemExit) as error:
                say(fatal=f"{type(error).__name__}: {error}")
            out.write("done\n")
    finally:
        os._exit(0)


# -- in the child --------------------------------------------------------------------------------------------------------


def _install(files: dict[str, str], watch: dict[str, int]) -> set[int]:
    """From now on these texts are loaded in place of their files; functions of watched files record where they are run."""
    hits: set[int] = set()
    setattr(builtins, _HIT, hits.add)
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, fullname: str) -> Any:
        path = os.path.realpath(self.get_filename(fullname))
        if path in files:
            return compile(files[path], path, "exec", dont_inherit=True)
        if path in watch:
            tree = ast.parse(Path(path).read_text(encoding="utf-8"), path)
            _watch(tree, watch[path] * FACTOR)
            return compile(tree, path, "exec", dont_inherit=True)
        return original(self, fullname)

    early = {os.path.realpath(file) for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))}
    assert not early & (files.keys() | watch.keys()), early & (files.keys() | watch.keys())
    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    return hits


class _Lambdas(ast.NodeTransformer):
    """A lambda that is a check, or a part of one, runs later than its statement: it records that statement when it does."""

    def __init__(self, base: int) -> None:
        self.base, self.statement = base, ast.stmt()

    def visit(self, node: ast.AST) -> ast.AST:
        before = self.statement
        if isinstance(node, ast.stmt):
            self.statement = node
        found: ast.AST = self.generic_visit(node)
        if isinstance(found, ast.Lambda):
            both = ast.Tuple([_hit(self.statement, self.base).value, found.body], ast.Load())
            found.body = ast.Subscript(both, ast.Constant(1), ast.Load())
        self.statement = before
        return found


def _watch(tree: ast.AST, base: int) -> None:
    _Lambdas(base).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            text = node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            body = node.body[bool(text) :]
            node.body = [*node.body[: bool(text)], _hit(node, base), *_watched(body, base)]
    ast.fix_missing_locations(tree)


def _watched(body: list[ast.stmt], base: int) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in body:
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(node, field, None)
            if inner and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                setattr(node, field, _watched(inner, base))
        plain = not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Nonlocal, ast.Global))
        found += [_hit(node, base), node] if plain else [node]
    return found


def _hit(node: ast.stmt, base: int) -> ast.Expr:
    call = ast.Call(ast.Name(_HIT, ast.Load()), [ast.Constant(base + node.lineno)], [])
    return ast.copy_location(ast.Expr(call), node)


def _baseline(path: Path, hits: set[int], say: Callable[..., None]) -> None:
    """Every check of a file: what it finds and the statements that it runs; first those that loading runs."""
    from efcheck.claims import collect

    claims = collect(path)
    say(load=sorted(hits))
    for claim in claims:
        for form, statement, checks in _forms(claim):
            for index in range(len(checks)):
                _forget()
                hits.clear()
                found = _run(statement, checks[index])
                say(claim=claim.id, form=form, index=index, name=checks[index].__name__, hits=sorted(hits), **found)


def _forms(claim: Any) -> Iterator[tuple[str, str, list[Any]]]:
    yield "printed", claim.statement, claim.printed_checks
    if claim.repaired_statement is not None:
        yield "repaired", claim.repaired_statement, claim.repaired_checks


def _forget() -> None:
    """Cached results would hide what a later check depends on."""
    for name, module in list(sys.modules.items()):
        if name.startswith("efcheck"):
            for value in list(vars(module).values()):
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def _run(statement: str, check: Any) -> dict[str, Any]:
    from efcheck.claims import _form

    errors: list[str] = []
    began = time.perf_counter()
    form = _form(statement, "proved", [check], 0, errors)
    seconds = time.perf_counter() - began
    if errors:
        return {"outcome": "error", "kind": "", "covers": "", "detail": errors[0], "seconds": seconds}
    found = form.evidence[0]
    return {
        "outcome": found.outcome, "kind": found.kind, "covers": found.covers, "detail": found.detail, "seconds": seconds,
    }  # fmt: skip


def _changed(wanted: list[dict[str, Any]], say: Callable[..., None]) -> None:
    """The checks asked for, until a verdict differs. Each has its form's other pieces, as (outcome, covers), with it."""
    from efcheck.claims import collect
    from efcheck.evidence import Evidence, combine

    pieces: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for ask in wanted:
        key = (ask["claim"], ask["form"])
        now = pieces.setdefault(key, [tuple(p) for p in ask["pieces"]])
        before = combine(Evidence("exact", o, "", covers=c) for o, c in map(tuple, ask["pieces"]))
        try:
            claim = next(c for c in collect(Path(ask["path"])) if c.id == ask["claim"])
            statement, checks = next((s, c) for form, s, c in _forms(claim) if form == ask["form"])
            say(loaded=True)
            found = _run(statement, checks[ask["index"]])
        except (Exception, SystemExit) as error:
            found = {"outcome": "error", "kind": "", "covers": "", "detail": f"{type(error).__name__}: {error}", "seconds": 0.0}
        verdict = "error"
        if found["outcome"] != "error":
            now[ask["index"]] = (found["outcome"], found["covers"])
            verdict = combine(Evidence("exact", o, "", covers=c) for o, c in now)
        say(**found, verdict=verdict, before=before)
        if verdict != before:
            return


if __name__ == "__main__":
    main()
