r"""The counterexamples do not all extend: majority vote keeps all three, the other schemes lose some; each class keeps one.

Statement   "our counterexamples extend to SIGNSGD with momentum, multiple worker settings, and even other biased compression
            schemes"
Source      Section 1, Our contributions
Idea        One claim for each combination, in extensions_momentum (Counterexample 1), extensions_momentum_plane (2 and 3),
            extensions_workers and extensions_compressors; here they are put together. Verbatim: momentum 0.5 on 1; majority
            vote on 1, 2, 3; the mean of workers on 2; scaled sign on 2 and 3. With constants (or rows, or start) changed every
            class, and every single method in it, has a counterexample.
Conventions those of the single claims, each with its own sign(0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from pathlib import Path

from efcheck.claims import Claim, collect, main
from efcheck.evidence import Evidence, combine

FOLDER = Path(__file__).parent
FILES = ("extensions_momentum", "extensions_momentum_plane", "extensions_workers", "extensions_compressors")


@dataclass(frozen=True)
class Method:
    """A row of the study: `key` with "{}" for the number of the counterexample, as in the claims' ids."""

    name: str
    key: str


METHODS = (
    Method("momentum 0.5", "momentum-{}-beta-0.5"),
    Method("momentum 0.9", "momentum-{}-beta-0.9"),
    Method("momentum 0.99", "momentum-{}-beta-0.99"),
    Method("majority vote", "workers-vote-{}"),
    Method("mean of workers", "workers-mean-{}"),
    Method("scaled sign", "compressor-scaled-sign-{}"),
    Method("top-1", "compressor-top-1-{}"),
    Method("rank-1", "compressor-rank-1-{}"),
)
# What the repaired sentence says: the counterexamples that each method keeps as they stand.
KEEPS = {
    "momentum 0.5": {1},
    "momentum 0.9": set(),
    "momentum 0.99": set(),
    "majority vote": {1, 2, 3},
    "mean of workers": {2},
    "scaled sign": {2, 3},
    "top-1": set(),
    "rank-1": set(),
}
# Where each method's own counterexample is: the number of the claim, and which form of it.
EXAMPLES = {
    "momentum 0.5": (1, "printed"),
    "momentum 0.9": (1, "repaired"),
    "momentum 0.99": (1, "repaired"),
    "majority vote": (1, "printed"),
    "mean of workers": (1, "repaired"),
    "scaled sign": (3, "printed"),
    "top-1": (3, "repaired"),
    "rank-1": (3, "repaired"),
}


def claims() -> dict[str, Claim]:
    """All claims of the study but the one of this file, by id without "extension-"."""
    every = (claim for name in FILES for claim in collect(FOLDER / f"{name}.py"))
    return {claim.id.removeprefix("extension-"): claim for claim in every}


@cache
def found(key: str, form: str, seed: int) -> tuple[Evidence, ...]:
    """What the checks of one form of one claim find; cached, for printed and repaired sentence both ask."""
    claim = claims()[key]
    checks = claim.printed_checks if form == "printed" else claim.repaired_checks
    return tuple(check(seed=seed) if "seed" in signature(check).parameters else check() for check in checks)


def combinations() -> list[tuple[Method, int]]:
    return [(method, number) for method in METHODS for number in (1, 2, 3)]


def verbatim(method: Method, number: int, seed: int = 0) -> Evidence:
    """Does Counterexample `number` extend to the method as it stands?"""
    pieces = found(method.key.format(number), "printed", seed)
    verdict = combine(pieces)
    reason = next(piece for piece in pieces if piece.outcome == verdict)
    detail = f"{method.name}, Counterexample {number}: {reason.detail}"
    return Evidence(reason.kind, verdict, detail, covers=f"{method.name}, {number}")


def example(method: Method, seed: int = 0) -> Evidence:
    """The proof of the statement that gives the method a counterexample, as it stands or with constants changed."""
    number, form = EXAMPLES[method.name]
    verdict = combine(found(method.key.format(number), form, seed))
    detail = f"extension-{method.key.format(number)} ({form}): {verdict}"
    return Evidence("exact", "proved" if verdict == "proved" else "undecided", detail, covers=f"an example for {method.name}")


sentence = Claim(
    "extension",
    "Section 1, Our contributions",
    "our counterexamples extend to SIGNSGD with momentum, multiple worker settings, and even other biased compression schemes",
    repaired="as they stand, these and no others of the 24 combinations: momentum 0.5 on Counterexample 1; majority vote of "
    "any n workers on 1, 2, 3; the mean of any n workers on 2 (on 1 for n = 1, 2, 6 only, on 3 for n = 1 only); scaled sign on "
    "2 and 3. With constants, rows or start changed there is one for momentum of every beta, for every n, and for each scheme",
    expect="refuted",
)


def as_said(method: Method, number: int, seed: int = 0) -> Evidence:
    """Is what the repaired sentence says of this combination what its claim found?"""
    piece = verbatim(method, number, seed)
    wanted = "proved" if number in KEEPS[method.name] else "refuted"
    decided = piece.outcome in ("proved", "refuted")
    outcome = "proved" if piece.outcome == wanted else "refuted" if decided else "undecided"
    return replace(piece, outcome=outcome)


for row, column in combinations():
    sentence.printed(lambda seed=0, method=row, number=column: verbatim(method, number, seed))
    sentence.repaired(lambda seed=0, method=row, number=column: as_said(method, number, seed))
for row in METHODS:
    sentence.repaired(lambda seed=0, method=row: example(method, seed))
del row, column


@sentence.repaired
def every_claim_is_a_combination() -> Evidence:
    keys = {method.key.format(number) for method, number in combinations()}
    outcome = "proved" if keys == set(claims()) else "refuted"
    return Evidence("exact", outcome, f"{len(keys)} combinations, {len(claims())} claims", covers="all combinations")


if __name__ == "__main__":
    main(__file__)
