"""The audit as one offline page, DIR/index.html, and its index, DIR/verdicts.md."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from efcheck._typeset import to_html
from efcheck._verdicts import RULE, Entry, Paper, by_section, entries, markdown, refuted
from efcheck.claims import VERDICTS, Audit, Form, Result
from efcheck.errors import MissingExtraError
from efcheck.evidence import Evidence
from efcheck.report import differences, write_text

_MANY = 10  # pieces of evidence that are shown without being unfolded
_LONG = 240  # characters of data that are shown without being unfolded
_WIDE = 640  # pixels of a picture that scrolls on a narrow screen
_PHRASES = {"proved": "holds", "refuted": "does not hold", "supported": "supported", "undecided": "not decided"}


def require() -> None:
    """Raise MissingExtraError, in one line, if a library of the page is not installed."""
    try:
        import jinja2  # noqa: F401
        import latex2mathml  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"--html needs {error.name}: pip install Jinja2 latex2mathml") from None


def write_html(audit: Audit, folder: Path, paper: Paper, paths: Sequence[str] = ()) -> None:
    """Write the page and the index; both are made before either is written, and each is whole or not there."""
    page, index = render(audit, paper, paths), markdown(entries(audit), paper)
    folder.mkdir(exist_ok=True)
    write_text(folder / "index.html", page)
    write_text(folder / "verdicts.md", index)


def render(audit: Audit, paper: Paper, paths: Sequence[str] = ()) -> str:
    """The page as text."""
    require()
    import jinja2
    from markupsafe import Markup

    from efcheck import __version__

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["maths"] = lambda text: Markup(to_html(text))
    template = environment.from_string(resources.files("efcheck").joinpath("report.html.j2").read_text(encoding="utf-8"))
    found = entries(audit)
    return template.render(
        paper=paper,
        version=__version__,
        seed=audit.seed,
        seconds=f"{audit.seconds:.0f}",
        claims=len(found),
        pieces=sum(len(form.evidence) for result in audit.results for form in result.forms),
        counts=_counts(found),
        ours=sum(entry.ours for entry in found),
        differences=differences(audit),
        refuted=refuted(found, paper),
        sections=_sections(audit, found, paper, paths),
        rule=RULE,
        command=_command(paths),
    )


def _sections(audit: Audit, found: Sequence[Entry], paper: Paper, paths: Sequence[str]) -> list[dict[str, Any]]:
    results = {result.id: result for result in audit.results}
    sections = []
    for number, (name, group) in enumerate(by_section(found, paper).items(), 1):
        claims = [_claim(entry, results[entry.id], paths) for entry in group]
        sections.append({"anchor": f"section-{number}", "heading": paper.heading(name), "claims": claims})
    return sections


def _command(paths: Sequence[str], id: str | None = None) -> str:
    return shlex.join(["efcheck", "audit", *paths, *([] if id is None else ["--only", id])])


def _counts(found: Sequence[Entry]) -> list[dict[str, Any]]:
    printed, repaired = [e.printed for e in found], [e.repaired for e in found if e.repaired is not None]
    return [{"verdict": v, "printed": printed.count(v), "repaired": repaired.count(v)} for v in VERDICTS]


def _claim(entry: Entry, result: Result, paths: Sequence[str]) -> dict[str, Any]:
    from markupsafe import Markup

    label, words = ("Statement of ours", "as stated") if entry.ours else ("As printed", "as printed")
    forms = [_form(label, result.printed, words)]
    if result.repaired is not None:
        words = "after repair" if result.printed.verdict == "refuted" else "as sharpened"
        forms.append(_form("Repaired" if result.printed.verdict == "refuted" else "Sharper", result.repaired, words))
    seconds = sum(e.seconds for form in result.forms for e in form.evidence)
    return {
        "id": entry.id,
        "source": entry.source,
        "ours": entry.ours,
        "verdict": entry.printed,
        "repaired": entry.repaired,
        "forms": forms,
        "errors": result.errors,
        "pictures": [{"svg": Markup(p.svg), "caption": p.caption, "wide": p.width > _WIDE} for p in result.pictures],
        "seconds": f"{seconds:.2f}",
        "command": _command(paths, entry.id),
    }


def _form(label: str, form: Form, words: str) -> dict[str, Any]:
    # What refutes comes first: one such piece decides.
    evidence = [_evidence(e) for e in sorted(form.evidence, key=lambda e: e.outcome != "refuted")]
    shown = len(evidence) if len(evidence) <= _MANY + 2 else _MANY
    return {
        "label": label,
        "statement": form.statement,
        "verdict": form.verdict,
        "phrase": f"{_PHRASES[form.verdict]} {words}",
        "expected": form.expected,
        "evidence": evidence[:shown],
        "more": evidence[shown:],
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    found = evidence.to_json()
    data = flat(found["data"])
    size = sum(len(key) + len(value) for key, value in data)
    return {**found, "data": data, "long": size > _LONG, "size": size, "seconds": f"{found['seconds']:.2f}"}


def flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The numbers of a piece of evidence as pairs of name and text; nested names are joined by a colon."""
    pairs: list[tuple[str, str]] = []
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            pairs += flat(value, "" if key == "witness" and not prefix else f"{name}: ")
        else:
            pairs.append((name, _value(value)))
    return pairs


def _value(value: Any) -> str:
    """A number, a text, or a list of them as a tuple: (1/2, 0)."""
    if isinstance(value, list):
        return f"({', '.join(_value(item) for item in value)})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
