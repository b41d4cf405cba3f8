"""What the reports share: the paper's name and sections, the order of consequence, and the index docs/verdicts.md.

A content folder may hold a `paper.toml`: title, authors, published, conventions, [sections] with their titles, [places] for
names that imply a section ("Remark 1" = "Section 3"). Without one a report has no title.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from efcheck import content
from efcheck.claims import Audit, Claim
from efcheck.errors import EfcheckError

ELSEWHERE = "Elsewhere"
# Consequence is a rule and not a judgement: what a claim is, by the first word of its id, before what it is a part of.
KINDS = ("theorem", "lemma", "proposition", "corollary", "assumption", "remark", "counterexample")
RULE = (
    "The order is a rule, not a judgement: first the numbered statements themselves (theorems, lemmas, propositions, "
    "corollaries, assumptions, remarks, counterexamples), then parts of them and lines of their proofs in the same order, "
    "then sentences of the text, body before appendix; within each group in the order of the paper."
)
_OURS = re.compile(r"\(ours\b|\(?not in the paper")
_PLACE = re.compile(r"\b(?:Sections?|Appendix|App\.)\s+([A-Z](?:\.\d+)*|\d+(?:\.\d+)*)|\b([A-Z](?:\.\d+)+)\b")


@dataclass(frozen=True)
class Paper:
    """What a `paper.toml` says; all empty without one."""

    title: str = ""
    authors: str = ""
    published: str = ""
    conventions: tuple[str, ...] = ()
    sections: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def section(self, source: str) -> str:
        """The first section that a source names, or the one of the first place that it names."""
        found = _PLACE.search(source)
        if found:
            name = found[1] or found[2]
            return f"Appendix {name}" if name[0].isalpha() else f"Section {name}"
        named = [(source.find(place), place) for place in self.places if re.search(rf"\b{re.escape(place)}\b", source)]
        return self.places[min(named)[1]] if named else ELSEWHERE

    def heading(self, section: str) -> str:
        """The section with its title."""
        return f"{section}: {self.sections[section]}" if section in self.sections else section


@dataclass(frozen=True)
class Entry:
    """A claim as the index shows it."""

    id: str
    source: str
    statement: str
    printed: str
    repaired_statement: str | None
    repaired: str | None

    @property
    def ours(self) -> bool:
        """True for a statement about the paper's objects that the paper does not make."""
        return _OURS.search(self.source) is not None


def find_paper(paths: Iterable[str | Path] | None) -> Paper:
    """The paper.toml beside the claims; the paper's own where its own folders are audited."""
    own = [place for name in content.CLAIM_FOLDERS if (place := content.folder(name)) is not None]
    given = [Path(path) for path in paths] if paths is not None else own
    folders = [path.resolve() if path.is_dir() else path.resolve().parent for path in given]
    if any(folder in [place.resolve() for place in own] for folder in folders):
        folders += own
    file = next((folder / "paper.toml" for folder in folders if (folder / "paper.toml").is_file()), None)
    return Paper() if file is None else _read(file)


def _read(file: Path) -> Paper:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        lines = tuple(str(line) for line in found.get("conventions", ()))
        tables = [{str(k): str(v) for k, v in dict(found.get(name, {})).items()} for name in ("sections", "places")]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise EfcheckError(f"{file} must be TOML with title, conventions, [sections], [places]; got {error}") from None
    title, authors, published = (str(found.get(name, "")) for name in ("title", "authors", "published"))
    return Paper(title, authors, published, lines, *tables)


def entries(audit: Audit) -> list[Entry]:
    """The claims of an audit with the verdicts that were found."""
    found = []
    for r in audit.results:
        repaired = (None, None) if r.repaired is None else (r.repaired.statement, r.repaired.verdict)
        found.append(Entry(r.id, r.source, r.printed.statement, r.printed.verdict, *repaired))
    return found


def expected_entries(claims: Iterable[Claim]) -> list[Entry]:
    """The same from the claims alone, with the verdicts that are expected: no check runs."""
    found = []
    for c in claims:
        verdict = None if c.repaired_statement is None else c.expect_repaired
        found.append(Entry(c.id, c.source, c.statement, c.expect, c.repaired_statement, verdict))
    return found


def by_section(found: Sequence[Entry], paper: Paper) -> dict[str, list[Entry]]:
    """The claims under the sections of the paper, both in the paper's order; under one heading if no source names any."""
    groups: dict[str, list[Entry]] = {}
    for entry in found:
        groups.setdefault(paper.section(entry.source), []).append(entry)
    if set(groups) == {ELSEWHERE}:
        return {"Claims": groups[ELSEWHERE]}
    return {name: groups[name] for name in sorted(groups, key=_section_order)}


def _section_order(section: str) -> tuple[int, list[tuple[int, str]]]:
    if section == ELSEWHERE:
        return 3, []
    word, _, number = section.partition(" ")
    group = {"Section": 1, "Appendix": 2}.get(word, 0)
    return group, [(int(part), "") if part.isdigit() else (0, part) for part in number.split(".")]


def refuted(found: Sequence[Entry], paper: Paper) -> list[Entry]:
    """Statements of the paper that do not hold as printed, most consequential first (`RULE`)."""
    ordered = [entry for group in by_section(found, paper).values() for entry in group]
    wrong = [entry for entry in ordered if entry.printed == "refuted" and not entry.ours]
    return sorted(wrong, key=lambda entry: _consequence(entry.id))


def _consequence(id: str) -> tuple[int, int]:
    kind, _, rest = id.partition("-")
    rank = KINDS.index(kind) if kind in KINDS else len(KINDS)
    if rank == len(KINDS):
        return 2, rank
    return (0 if re.fullmatch(r"[0-9]+|[a-z]|[ivx]+", rest) else 1), rank


def markdown(found: Sequence[Entry], paper: Paper) -> str:
    """The index: what does not hold as printed, then every claim, with nothing that depends on the machine."""
    title = f"Verdicts on *{paper.title}*" if paper.title else "Verdicts"
    about = ", ".join(part for part in (paper.authors, paper.published) if part)
    wrong = refuted(found, paper)
    ours = sum(e.ours for e in found)
    counts = ", ".join(f"{sum(e.printed == v for e in found)} {v}" for v in ("proved", "refuted", "supported", "undecided"))
    lines = [f"# {title}", ""] + ([about, ""] if about else [])
    lines += [
        "Written by `efcheck audit --html DIR` as DIR/verdicts.md; not to be edited. The evidence is in DIR/index.html.",
        "",
        f"{len(found)} claims as printed: {counts}. *Proved*: shown for the generality stated. *Refuted*: does not hold as "
        "printed, by a counterexample that can be checked. *Supported*: experiments agree, no proof. *Undecided*: neither.",
        "",
        f"{ours} of them are statements of ours about the paper's objects; they say so, and are not in the list below.",
        "",
        "## False as printed, most consequential first",
        "",
        RULE,
        "",
    ]
    for number, entry in enumerate(wrong, 1):
        lines += [f"{number}. **{entry.id}** ({_plain(entry.source)}). Printed: {_code(entry.statement)}"]
        if entry.repaired_statement is not None:
            lines += [f"   Instead, {entry.repaired}: {_code(entry.repaired_statement)}"]
    lines += ["", "## Every claim"]
    for section, group in by_section(found, paper).items():
        lines += ["", f"### {_plain(paper.heading(section))}", ""]
        lines += ["| id | source | as printed | after repair | statement |", "|---|---|---|---|---|"]
        for e in group:
            cells = (e.id, _plain(e.source), e.printed, e.repaired or "", _code(e.statement))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_<>])", r"\\\1", " ".join(text.split()))
