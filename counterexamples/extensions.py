r"""Each method has its counterexample; but not every counterexample extends to every method: majority vote alone keeps all.

Statement   "our counterexamples extend to SIGNSGD with momentum, multiple worker settings, and even other biased compression
            schemes"
Source      Section 1, Our contributions
Idea        The sentence, read as its authors may have meant it, asks for a counterexample of this kind for each method. Read
            word for word, every counterexample would do for every method: one claim for each combination, in
            extensions_momentum (Counterexample 1), extensions_momentum_plane (2 and 3), extensions_workers,
            extensions_compressors, extensions_rank_1 and extensions_theorem_1; here they are put together.
Conventions those of the single claims: each counterexample under the sign(0) under which it is itself true (2: +-1 in the
            subgradient, 3 and Theorem I: 0 in the update), Counterexample 1 before projection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from pathlib import Path

from efcheck import content
from efcheck.claims import Claim, collect, main
from efcheck.evidence import Evidence, combine

FOLDER = Path(__file__).parent
FILES = (
    "extensions_momentum",
    "extensions_momentum_plane",
    "extensions_workers",
    "extensions_compressors",
    "extensions_rank_1",
    "extensions_theorem_1",
)
NUMBERS = ("1", "2", "3", "theorem-1")
EXTRA = {"momentum-1-constrained"}  # a claim of ours beside the combinations


@dataclass(frozen=True)
class Method:
    """A row of the study: `key` with "{}" for the counterexample, as in the claims' ids."""

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
    "momentum 0.5": {"1"},
    "momentum 0.9": set(),
    "momentum 0.99": set(),
    "majority vote": {"1", "2", "3", "theorem-1"},
    "mean of workers": {"2"},
    "scaled sign": {"2", "3", "theorem-1"},
    "top-1": set(),
    "rank-1": set(),
}
# Where each method's own counterexample is: the number of the claim, and which form of it.
EXAMPLES = {
    "momentum 0.5": ("1", "printed"),
    "momentum 0.9": ("1", "repaired"),
    "momentum 0.99": ("1", "repaired"),
    "majority vote": ("1", "printed"),
    "mean of workers": ("1", "repaired"),
    "scaled sign": ("3", "printed"),
    "top-1": ("3", "repaired"),
    "rank-1": ("3", "repaired"),
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


def combinations() -> list[tuple[Method, str]]:
    return [(method, number) for method in METHODS for number in NUMBERS]


def named(number: str) -> str:
    return "Theorem I" if number == "theorem-1" else f"Counterexample {number}"


def telling(pieces: list[Evidence]) -> Evidence:
    """The piece with the most to say: a witness before a calculation before a proof, the longer one before the shorter."""
    order = {"witness": 2, "exact": 1}
    return max(pieces, key=lambda piece: (order.get(piece.kind, 0), len(piece.detail)))


def verbatim(method: Method, number: str, seed: int = 0) -> Evidence:
    """Does Counterexample `number` extend to the method as it stands?"""
    pieces = found(method.key.format(number), "printed", seed)
    verdict = combine(pieces)
    reason = telling([piece for piece in pieces if piece.outcome == verdict])
    parts = ", ".join(dict.fromkeys(piece.covers for piece in pieces if piece.covers))
    said = f"parts {parts}; {reason.detail}" if parts and reason.kind not in ("witness", "exact") else reason.detail
    detail = f"{method.name}, {named(number)}: {verdict} in extension-{method.key.format(number)}, {said}"
    return Evidence(reason.kind, verdict, detail, covers=f"{method.name}, {number}")


def example(method: Method, seed: int = 0) -> Evidence:
    """The proof of the statement that gives the method a counterexample, as it stands or with constants changed."""
    number, form = EXAMPLES[method.name]
    verdict = combine(found(method.key.format(number), form, seed))
    claim = claims()[method.key.format(number)]
    said = claim.statement if form == "printed" else claim.repaired_statement
    detail = f"{method.name}: {claim.id} ({form}) is {verdict}: {said}"
    return Evidence("exact", "proved" if verdict == "proved" else "undecided", detail, covers=f"an example for {method.name}")


SENTENCE = (
    "our counterexamples extend to SIGNSGD with momentum, multiple worker settings, and even other biased compression schemes"
)
sentence = Claim(
    "extension",
    "Section 1, Our contributions",
    f"{SENTENCE} [for each of them there is a counterexample of this kind]",
)


def listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def kept() -> str:
    """The part of the repaired sentence on the mean of workers, from what extension-workers-mean-1 says and counts."""
    holds = content.load(FOLDER / "extensions_workers.py").HOLDS
    more = listed(holds[-1] - holds[0])
    return f"(on 1 for n = {listed(holds[0])} only, and {more} if sign(0) = -1; on 3 and on Theorem I for n = 1 only)"


word_for_word = Claim(
    "extension-verbatim",
    "(ours: the strict reading) Section 1, Our contributions",
    f"{SENTENCE} [Counterexamples 1, 2, 3 and Theorem I as they stand, each to each method]",
    repaired="as they stand, these and no others of the 32 combinations: momentum 0.5 on Counterexample 1; majority vote of "
    f"any n workers on 1, 2, 3 and Theorem I; the mean of any n workers on 2 {kept()}; scaled sign on 2, 3 and Theorem I. "
    "With constants, rows or start changed there is one for momentum of every beta, for every n, and for each scheme",
    expect="refuted",
)


def as_said(method: Method, number: str, seed: int = 0) -> Evidence:
    """Is what the repaired sentence says of this combination what its claim found?"""
    piece = verbatim(method, number, seed)
    wanted = "proved" if number in KEEPS[method.name] else "refuted"
    decided = piece.outcome in ("proved", "refuted")
    outcome = "proved" if piece.outcome == wanted else "refuted" if decided else "undecided"
    return replace(piece, outcome=outcome)


for row, column in combinations():
    word_for_word.printed(lambda seed=0, method=row, number=column: verbatim(method, number, seed))
    word_for_word.repaired(lambda seed=0, method=row, number=column: as_said(method, number, seed))
for row in METHODS:
    sentence.printed(lambda seed=0, method=row: example(method, seed))
    word_for_word.repaired(lambda seed=0, method=row: example(method, seed))
del row, column


@word_for_word.repaired
def every_claim_is_a_combination() -> Evidence:
    keys, single = {method.key.format(number) for method, number in combinations()}, set(claims()) - EXTRA
    outcome = "proved" if keys == single else "refuted"
    return Evidence("exact", outcome, f"{len(keys)} combinations, {len(single)} claims", covers="all combinations")


@word_for_word.repaired
def the_mean_of_workers_is_counted_as_said() -> Evidence:
    """The n of the repaired sentence are those that `which_n_hold` finds."""
    return content.load(FOLDER / "extensions_workers.py").which_n_hold().covering("mean of workers, n")


@word_for_word.picture
def the_grid(left, middle, right):
    script = content.figure("extensions")
    left.figure.set_size_inches(*script.SIZE)
    data = script.compute(T=400, runs=50, points=40)
    script.draw((left, middle, right), data)
    return (
        "Left: which counterexample extends to which method, as decided here (hatched), with the mean of (f(x_T) - "
        "f*)/(f(x_0) - f*) in simulated runs of 400 steps. Middle and right: E sign on Counterexample 1 over the momentum "
        "and over the number of workers; below 0 f rises."
    )


if __name__ == "__main__":
    main(__file__)
