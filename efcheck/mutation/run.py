"""Auditing the auditor: plant one error at a time in right-hand sides and algorithms; does a verdict change?

1. The checks run once as they are, and which statements each of them executes is recorded.
2. Places are drawn (`finder` says where). At each, one error is planted in memory and the checks that executed the
   place, or a name that the error changes, run again, cheapest first, until a verdict differs.
3. A place is noticed if a verdict or a single check comes out otherwise, raises, or takes ten times as long.

An error that leaves every relation at its place provable is none: the changed statement is true, often weaker (5 for 4
in an upper bound). Then the next change is planted there; only if all are proved true is the place counted as not
noticed, with that reason. Places that bear on refutations alone are not drawn: a false statement with another constant
is false, too. `equivalent_changes.toml` beside the claims holds the reasons for other changes that no check can notice.
"""

from __future__ import annotations

import hashlib
import os
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from efcheck import claims
from efcheck.errors import EfcheckError, argument_error
from efcheck.mutation.places import Change, Place, Source
from efcheck.mutation.plan import Check, Progress, baseline, plan_of, sources_of
from efcheck.mutation.pool import Answer, Pool, Task

MUTANTS = 600  # places drawn by default: under 20 minutes on two cores
_LARGE, _LARGER = ("numpy", "sympy", "z3"), ("scipy.optimize", "scipy.stats", "rich.table")  # loaded once, then forked
EXPLAINED = "equivalent_changes.toml"
_LOAD, _SLOWER = 30.0, 10.0  # seconds to load; a check may take that many times as long, plus `patience`
_PROVED = ("identity", "inequality")


@dataclass(frozen=True)
class Planted:
    """One error. `noticed`: "verdict", "check" (one check, no verdict), "error", "time", or "" if nothing differs."""

    place: Place
    change: Change
    diff: str
    noticed: str
    by: str = ""
    reason: str = ""
    restated: bool = False  # every changed relation was proved

    @property
    def good(self) -> bool:
        return bool(self.noticed or self.reason)

    def to_json(self) -> dict[str, Any]:
        p = self.place
        head = {"file": p.file, "line": p.line, "function": p.function, "kind": self.change.kind, "diff": self.diff}
        return {**head, "noticed": self.noticed or None, "by": self.by, "reason": self.reason or None}


@dataclass(frozen=True)
class Mutation:
    """What came of it."""

    planted: tuple[Planted, ...]
    places: int
    unreached: Counter[str]  # places that no check executes, by file
    refutations: int  # places that bear on refutations alone
    seed: int
    seconds: float

    @property
    def noticed(self) -> int:
        return sum(bool(p.noticed) for p in self.planted)

    @property
    def share(self) -> float:
        return self.noticed / len(self.planted) if self.planted else 1.0

    @property
    def passed(self) -> bool:
        """At least 95 % noticed, the rest explained."""
        return self.share >= 0.95 and all(p.good for p in self.planted)

    def to_json(self) -> dict[str, Any]:
        from efcheck import __version__

        head = {"efcheck": __version__, "seed": self.seed, "seconds": self.seconds, "share": self.share}
        counts = {"planted": len(self.planted), "noticed": self.noticed, "places": self.places}
        aside = {"refutations_only": self.refutations, "unreached": dict(sorted(self.unreached.items()))}
        return {**head, **counts, **aside, "errors": [p.to_json() for p in self.planted]}


def mutate(
    paths: Iterable[str | Path] | None = None,
    mutants: int = MUTANTS,
    jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    keep: Callable[[Place], bool] | None = None,
    patience: float = 8.0,
) -> Mutation:
    """Plant errors in what the claims of `paths` (the paper's own by default) rest on.

    Parameters
    ----------
    mutants : how many places, drawn by `seed`; a larger number draws the same ones and more
    jobs : worker processes
    keep : only places for which it is true
    patience : seconds that a check may take beyond ten times its own

    Raises
    ------
    EfcheckError
        If a check fails as it is, or the system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise EfcheckError("audit --mutate needs a system that can fork processes")
    began = time.perf_counter()
    chosen = None if paths is None else [Path(p) for p in paths]
    files = claims._files(chosen)
    sources = sources_of(files, engine=chosen is None)
    tell = progress or (lambda name, done, total: None)
    with Pool(jobs, _LARGE if chosen is not None else (*_LARGE, *_LARGER)) as pool:
        checks, loads = baseline(files, sources, pool, tell)
        plan, unreached, refutations = plan_of(sources, checks, loads)
        plan = {p: c for p, c in plan.items() if keep is None or keep(p)}
        if chosen is not None:  # what lies beside them is not asked about
            asked = {sources[os.path.realpath(file)].name for file in files}
            unreached = Counter({name: count for name, count in unreached.items() if name in asked})
        drawn = sorted(plan, key=lambda p: _mixed(seed, p.key))[:mutants]
        planted = _Planting(plan, sources, checks, pool, tell, seed, patience).all(drawn)
    known = _explained({path.parent for path in files})
    done = tuple(_with_reason(p, known) for p in sorted(planted, key=lambda p: (p.place.file, p.place.start)))
    return Mutation(done, len(plan), unreached, refutations, seed, round(time.perf_counter() - began, 1))


class _Planting:
    """Plants the first change at every place, then the next one where the changed statement was proved true."""

    def __init__(
        self,
        plan: dict[Place, list[Check]],
        sources: dict[str, Source],
        checks: list[Check],
        pool: Pool,
        tell: Progress,
        seed: int,
        patience: float,
    ) -> None:
        self.plan, self.pool, self.tell, self.seed, self.patience = plan, pool, tell, seed, patience
        self.paths = {source.name: path for path, source in sources.items()}
        self.sources = sources
        self.pieces: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for check in sorted(checks, key=lambda c: c.index):
            self.pieces.setdefault((check.claim, check.form), []).append((check.outcome, check.covers))

    def all(self, drawn: list[Place]) -> list[Planted]:
        final: dict[Place, Planted] = {}
        todo = [(place, 0) for place in drawn]
        while todo:
            current, todo = todo, []

            def done(i: int, answer: Answer, current: list[tuple[Place, int]] = current) -> None:
                place, turn = current[i]
                found = self._judged(place, self._order(place)[turn], answer)
                if found.restated and turn + 1 < len(place.changes):
                    todo.append((place, turn + 1))  # noqa: B023  this turn's list is meant
                final[place] = found
                self.tell(f"{place.file}:{place.line}", len(final) - len(todo), len(drawn))  # noqa: B023

            self.pool.ask([self._task(place, self._order(place)[turn]) for place, turn in current], done)
            todo.sort(key=lambda item: item[0].key)
        return [final[place] for place in drawn]

    def _order(self, place: Place) -> list[Change]:
        return sorted(place.changes, key=lambda c: (c.gross, _mixed(self.seed, f"{place.key}:{c.new}")))

    def _task(self, place: Place, change: Change) -> Task:
        path = self.paths[place.file]
        asked, limits = [], []
        for c in self.plan[place]:
            pieces = self.pieces[c.claim, c.form]
            asked.append({"path": c.path, "claim": c.claim, "form": c.form, "index": c.index, "pieces": pieces})
            limits += [_LOAD, self.patience + _SLOWER * c.seconds]
        text = self.sources[path].mutated(place, change)
        return {"files": {path: text}, "watch": {}, "checks": asked, "claims": "", "limits": limits}

    def _judged(self, place: Place, change: Change, answer: Answer) -> Planted:
        planted = Planted(place, change, self.sources[self.paths[place.file]].diff(place, change), "")
        checks, found = self.plan[place], answer["found"]
        only_a_check = None
        for check, now in zip(checks, found, strict=False):
            where = f"{check.claim} {check.form}"
            if "fatal" in now:
                return replace(planted, noticed="error", by=now["fatal"])
            if now["outcome"] == "error":
                return replace(planted, noticed="error", by=f"{where}: {now['detail']}")
            if now["verdict"] != now["before"]:
                return replace(planted, noticed="verdict", by=f"{where}: {now['before']} -> {now['verdict']}")
            if now["outcome"] != check.outcome and only_a_check is None:
                only_a_check = f"{where}, {check.name}: {check.outcome} -> {now['outcome']}"
        if only_a_check is not None:
            return replace(planted, noticed="check", by=only_a_check)
        if answer["end"] != "done":
            check = checks[len(found)]
            what = "the process died" if answer["end"] == "died" else "stopped, far slower than before"
            return replace(planted, noticed="time", by=f"{check.claim} {check.form}, {check.name}: {what}")
        resting = [(c, now) for c, now in zip(checks, found, strict=True) if c.outcome != "refuted"]
        proved = [c for c, now in resting if c.outcome == "proved" and c.kind in _PROVED and now["kind"] in _PROVED]
        # other checks that run a place inside a check only hand its evidence on
        if proved and (place.in_check or len(proved) == len(resting)):
            ids = ", ".join(dict.fromkeys(c.claim for c in proved))
            # what a helper means is more than what one claim says of it: that is for a person to explain
            reason = f"the statement with any of the changes tried here is proved: {ids}" if place.in_check else ""
            return replace(planted, reason=reason, restated=True)
        return planted


def _mixed(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


# -- reasons -------------------------------------------------------------------------------------------------------------------


def _explained(folders: Iterable[Path]) -> dict[tuple[str, str, str], str]:
    """(file, function, part of the changed line as printed) -> why no check can notice it."""
    found: dict[tuple[str, str, str], str] = {}
    for folder in sorted(folders):
        path = folder / EXPLAINED
        if not path.is_file():
            continue
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8")).get("change", [])
            found |= {(e["file"], e["function"], change): e["reason"] for e in entries for change in e["changes"]}
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise argument_error(str(path), "hold [[change]] tables of file, function, changes, reason", str(error)) from None
    return found


def _with_reason(planted: Planted, known: dict[tuple[str, str, str], str]) -> Planted:
    place = planted.place
    for (file, function, part), reason in known.items():
        if not planted.noticed and (file, function) == (place.file, place.function) and part in planted.diff:
            return replace(planted, reason=reason)
    return planted
