r"""The erratum: a LaTeX note on the statements that do not hold as printed, with a stable id for each to cite."""

from __future__ import annotations

from collections.abc import Sequence

from efcheck._html import flat
from efcheck._typeset import to_latex
from efcheck._typeset_latex import escape
from efcheck._verdicts import Entry, Paper, entries, refuted
from efcheck.claims import Audit, Form, Result
from efcheck.errors import argument_error
from efcheck.evidence import Evidence

_LONG = 600  # characters of numbers in print; the rest is in the audit's JSON

_HEAD = r"""\documentclass[11pt]{article}
\usepackage{amsmath,amsthm}
\newtheoremstyle{plainly}{\topsep}{\topsep}{\normalfont}{}{\bfseries}{.}{ }{}
\theoremstyle{plainly}
\newtheorem*{printed}{As printed}
\newtheorem*{repaired}{Instead}
\newcommand{\claim}[2]{\subsection*{\texttt{#1}}\noindent\emph{#2}\par}
\setlength{\emergencystretch}{6em}
\sloppy
"""


def chosen(audit: Audit, ids: Sequence[str], paper: Paper) -> list[Entry]:
    """The entries of the note: all statements that do not hold as printed, or those named, most consequential first.

    Raises
    ------
    ArgumentError
        If a named claim holds as printed, and none under it fails.
    """
    found = entries(audit)
    wrong = refuted(found, paper) + [e for e in found if e.ours and e.printed == "refuted"]
    for id in ids:
        if not any(e.id == id or e.id.startswith(id + "-") for e in wrong):
            verdicts = ", ".join(f"{e.id} is {e.printed}" for e in found if e.id == id or e.id.startswith(id + "-"))
            raise argument_error("id", "name a statement that does not hold as printed", id, f"{verdicts}.")
    return [e for e in wrong if ids or not e.ours]


def render(audit: Audit, ids: Sequence[str], paper: Paper) -> str:
    """The note as a complete document that amsmath and amsthm are enough for."""
    from efcheck import __version__

    results = {result.id: result for result in audit.results}
    about = rf"\emph{{{escape(paper.title)}}}" if paper.title else "the claims audited"
    where = ", ".join(part for part in (paper.authors, paper.published) if part)
    lines = [_HEAD + rf"\title{{Notes on {about}}}", rf"\author{{efcheck {escape(__version__)}}}", r"\date{}"]
    lines += [r"\begin{document}", r"\maketitle"]
    lines.append(
        rf"\noindent Statements of {about}{f' ({escape(where)})' if where else ''} that do not hold as printed, each with a "
        r"counterexample and, where one was found, a statement that does hold. Verdicts are found by machine-checked "
        rf"evidence. To cite one, give its id and the version of the program: \texttt{{efcheck {escape(__version__)}, id}}; "
        r"\texttt{efcheck audit -{}-only id} repeats it. Words in square brackets are our reading of the sentence."
    )
    for entry in chosen(audit, ids, paper):
        lines += ["", *_note(entry, results[entry.id])]
    return "\n".join([*lines, r"\end{document}", ""])


def _note(entry: Entry, result: Result) -> list[str]:
    lines = [rf"\claim{{{_id(entry.id)}}}{{{escape(entry.source)}}}"]
    lines += [r"\begin{printed}", to_latex(entry.statement), r"\end{printed}"]
    against = [e for e in result.printed.evidence if e.outcome == "refuted"]
    lines += [r"\paragraph{Why it does not hold.}", *_lines(against)]
    if result.repaired is None:
        return [*lines, r"\paragraph{Repair.} None is offered here."]
    lines += [r"\begin{repaired}", to_latex(result.repaired.statement), r"\end{repaired}"]
    return lines + _support(result.repaired)


def _support(form: Form) -> list[str]:
    """The evidence of the repaired statement: a proof if it is proved, else named for what it is."""
    if form.verdict != "proved":
        return [rf"\paragraph{{Evidence ({escape(form.verdict)}, not a proof).}}", *_lines(form.evidence)]
    lead = "By machine, part by part; arguments beyond a solver stand in the file of this id."
    return [r"\begin{proof}", lead, *_lines(form.evidence), r"\end{proof}"]


def _lines(evidence: Sequence[Evidence]) -> list[str]:
    lines = [r"\begin{itemize}"]
    for e in evidence:
        part = f" ({to_latex(e.covers)})" if e.covers else ""
        lines.append(rf"\item \emph{{{escape(e.outcome)} by {escape(e.kind)}}}{part}: {to_latex(e.detail)}.{_numbers(e)}")
    return [*lines, r"\end{itemize}"] if evidence else [r"The checks say so without a line of evidence."]


def _numbers(evidence: Evidence) -> str:
    data = evidence.to_json()["data"]
    pairs = flat(data)
    if not pairs:
        return ""
    if sum(len(key) + len(value) for key, value in pairs) > _LONG:
        return r" (The numbers are in the output of \texttt{efcheck audit -{}-json}.)"
    label = "Witness" if "witness" in data else "Numbers"
    return f" {label}: " + "; ".join(f"{to_latex(key)} $=$ {_breakable(value)}" for key, value in pairs) + "."


def _breakable(text: str) -> str:
    """Text that may be broken every ten characters, for long fractions."""
    words = [r"\hspace{0pt}".join(escape(word[i : i + 10]) for i in range(0, len(word), 10)) for word in text.split(" ")]
    return " ".join(words)


def _id(id: str) -> str:
    return escape(id).replace("-", r"-\hspace{0pt}")
