"""The reports: the page is offline, escaped and complete, the index is in step with the claims, the table stands by sections.

Run as a script, this file writes docs/verdicts.md anew from the claims: python tests/test_report.py
"""

from __future__ import annotations

import io
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from efcheck import _html, cli, content
from efcheck._verdicts import ELSEWHERE, Entry, Paper, by_section, entries, expected_entries, find_paper, markdown, refuted
from efcheck.claims import Audit, Claim, collect
from efcheck.errors import EfcheckError, MissingExtraError
from efcheck.evidence import Evidence
from efcheck.report import print_audit, write_text

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "verdicts.md"
REWRITE = "docs/verdicts.md is not in step with the claims: run python tests/test_report.py, or copy DIR/verdicts.md"
PAPER = Paper(
    "A paper", "A. Author", "2019", ("sign(0) = +-1",), {"Section 1": "Start", "Section 2": "End"}, {"Remark 1": "Section 2"}
)
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


def test_a_link_is_followed_and_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "all of it")
    assert os.read(reader, 100) == b"all of it" and pipe.is_fifo()
    os.close(reader)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "target"]


def claim(
    id: str, outcome: str = "proved", source: str = "Section 1", repaired: str | None = None, detail: str = "by hand"
) -> Claim:
    made = Claim(id, source, f"the statement of {id}: x_t <= 1", repaired=repaired, expect=outcome)
    made.printed(
        lambda: Evidence("witness", outcome, detail, {"witness": {"gamma": "1/2"}, "path": [["1", 2.5]]}, covers="T = 3")
    )
    if repaired is not None:
        made.repaired(lambda: Evidence("identity", "proved", "equal after expansion"))
    return made


def audited(*claims: Claim, seconds: float = 1.0, errors: tuple[str, ...] = ()) -> Audit:
    return Audit(tuple(c.audit() for c in claims), errors, 0, seconds)


def mixed(seconds: float = 1.0) -> Audit:
    return audited(
        claim("counterexample-1-line", "refuted", "Section 2, Counterexample 1"),
        claim("remark-1", "refuted", "Remark 1", "the repaired one"),
        claim("theorem-1-step", "refuted", "Section 1, Theorem I"),
        claim("theorem-1", "refuted", "Section 2, Theorem I", "x_t <= 2"),
        claim("theorem-2", "refuted", "Section 2, Theorem II (ours: sharper)"),
        claim("lemma-1", "proved", "Appendix B.1, Lemma 1"),
        claim("sentence", "refuted", "Appendix A.1; Section 1"),
        claim("word", "supported", "abstract"),
        seconds=seconds,
    )


class Page(HTMLParser):
    """Tags that are open, ids, links, and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {key: value or "" for key, value in attrs}
        self.fetched += [f"{tag} {key}" for key in given if key in ("src", "srcset", "data") or key.startswith("on")]
        if tag != "a" and not given.get("href", "#").startswith(("#", "data:")):  # of an SVG
            self.fetched.append(f"{tag} href")
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def checked(text: str) -> Page:
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert not page.tags & {"script", "link", "iframe", "img", "object", "form"} and page.fetched == []
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links), page.links
    assert not re.search(r"@import|url\((?!#)|https?://", text)
    assert all(id in page.ids for id in re.findall(r"url\(#([^)]*)\)", text))
    return page


def test_the_page_is_offline_well_formed_and_every_link_leads_somewhere() -> None:
    audit = mixed()
    page = checked(_html.render(audit, PAPER))
    assert {result.id for result in audit.results} <= set(page.ids)


def test_the_page_shows_of_each_claim_statement_verdict_evidence_numbers_and_command() -> None:
    text = _html.render(audited(claim("theorem-1", "refuted", repaired="sqrt(x_t) <= 2")), PAPER)
    article = text[text.index("<article") : text.index("</article>")]
    assert "the statement of theorem-1: <i>x</i><sub><i>t</i></sub> ≤ 1" in article
    assert "does not hold as printed: refuted" in article and "holds after repair: proved" in article
    assert "√(<i>x</i><sub><i>t</i></sub>) ≤ 2" in article
    assert "by witness" in article and "(<i>T</i> = 3)" in article and "by hand" in article
    assert ">γ</span>&nbsp;= <code>1/2</code>" in article and "<code>((1, 2.5))</code>" in article
    assert "efcheck audit --only theorem-1</code>" in article and re.search(r"\d\.\d\d s", article)


def test_the_command_of_a_strangers_claims_names_their_files() -> None:
    text = _html.render(audited(claim("a")), Paper(), ["their claims/a.py"])
    assert "efcheck audit &#39;their claims/a.py&#39; --only a</code>" in text


def test_a_hostile_claim_is_shown_and_not_run() -> None:
    evil = Claim("a\"onclick='x'<b>", HOSTILE, HOSTILE, repaired=HOSTILE, expect="refuted")
    evil.printed(lambda: Evidence("exact", "refuted", HOSTILE, {HOSTILE: HOSTILE, "x": [HOSTILE] * 99}, covers=HOSTILE))
    text = _html.render(audited(evil, errors=(HOSTILE,)), Paper(HOSTILE, HOSTILE, HOSTILE, (HOSTILE,)))
    page = Page(text)
    assert page.open == [] and page.fetched == [] and not page.tags & {"script", "img", "b"}


def test_an_audit_that_is_not_as_expected_says_so_on_the_page() -> None:
    wrong = Claim("c", "p. 1", "s", expect="proved")
    wrong.printed(lambda: Evidence("exact", "refuted", "no"))
    text = _html.render(audited(wrong), Paper())
    assert "c: the printed statement is refuted; expected proved" in text and "expected: proved" in text
    assert "not as expected" not in _html.render(mixed(), PAPER)


def test_the_page_is_fit_for_dark_narrow_and_paper() -> None:
    text = _html.render(mixed(), PAPER)
    assert all(
        word in text for word in ("prefers-color-scheme: dark", "@media print", "@media (max-width", "width=device-width")
    )


def test_false_statements_are_ordered_by_the_rule_and_ours_are_left_out() -> None:
    found = refuted(entries(mixed()), PAPER)
    assert [e.id for e in found] == ["theorem-1", "remark-1", "theorem-1-step", "counterexample-1-line", "sentence"]
    assert [e.id for e in entries(mixed()) if e.ours] == ["theorem-2"]


@pytest.mark.parametrize(
    ("source", "section"),
    [
        ("Section 5.1, Remark 10", "Section 5.1"),
        ("Sections 1, 3 and 4", "Section 1"),
        ("Section 5, first part; Section 5.1", "Section 5"),
        ("Appendix B.1, proof of Theorem I", "Appendix B.1"),
        ("B.7 with Assumption C", "Appendix B.7"),
        ("A.6", "Appendix A.6"),
        ("Remark 1", "Section 2"),
        ("Remark 10", ELSEWHERE),
        ("p. 1", ELSEWHERE),
    ],
)
def test_a_source_names_its_section(source: str, section: str) -> None:
    assert PAPER.section(source) == section


def test_sections_stand_in_the_order_of_the_paper() -> None:
    sources = ["B.7", "Section 10", "p. 1", "Section 5.1", "Abstract", "Section 5", "A.10", "A.2", "Section 2"]
    paper = Paper(places={"Abstract": "Abstract"})
    found = by_section([Entry(s, s, "", "proved", None, None) for s in sources], paper)
    sections = [
        "Abstract",
        "Section 2",
        "Section 5",
        "Section 5.1",
        "Section 10",
        "Appendix A.2",
        "Appendix A.10",
        "Appendix B.7",
    ]
    assert list(found) == [*sections, ELSEWHERE]
    assert list(by_section([Entry("a", "p. 1", "", "proved", None, None)], paper)) == ["Claims"]


def test_every_claim_of_the_paper_has_a_section_with_a_title() -> None:
    paper = find_paper(None)
    assert paper.title.startswith("Error Feedback Fixes SignSGD")
    for section, group in by_section(expected(), paper).items():
        assert section in (*paper.sections, "Abstract"), [e.id for e in group]


def test_a_strangers_folder_may_have_a_paper_of_its_own_or_none(tmp_path: Path) -> None:
    assert find_paper([tmp_path]) == Paper()
    (tmp_path / "paper.toml").write_text('title = "Theirs"\n[sections]\n"Section 1" = "One"\n')
    assert find_paper([tmp_path]).heading("Section 1") == "Section 1: One"
    (tmp_path / "paper.toml").write_text("title = \n")
    with pytest.raises(EfcheckError, match=r"paper\.toml must be TOML") as caught:
        find_paper([tmp_path])
    assert "\n" not in str(caught.value)


def expected() -> list[Entry]:
    folders = [content.folder(name) for name in content.CLAIM_FOLDERS]
    return expected_entries(c for place in folders if place for file in content.scripts(place) for c in collect(file))


def test_the_index_in_docs_lists_every_claim_with_its_expected_verdicts() -> None:
    assert INDEX.read_text(encoding="utf-8") == markdown(expected(), find_paper(None)), REWRITE


def test_the_index_from_an_audit_as_expected_is_the_one_from_the_claims() -> None:
    claims = [claim("theorem-1", "refuted", repaired="x | y"), claim("a", "supported")]
    from_audit, from_claims = entries(audited(*claims)), expected_entries(claims)
    assert from_audit == from_claims and markdown(from_audit, PAPER) == markdown(from_claims, PAPER)


def test_the_index_does_not_depend_on_the_machine_and_keeps_its_tables_whole() -> None:
    assert markdown(entries(mixed(1.0)), PAPER) == markdown(entries(mixed(77.7)), PAPER)
    odd = Entry("a", "p. <1> | 2", "|x| and `y`\nnext", "refuted", "z", "proved")
    rows = [line for line in markdown([odd], Paper()).splitlines() if line.startswith("| a |")]
    assert (
        len(rows) == 1 and len(re.findall(r"(?<!\\)\|", rows[0])) == 6 and "`|x| and 'y' next`".replace("|", "\\|") in rows[0]
    )


def test_page_and_index_are_written_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "report"
    _html.write_html(mixed(), folder, PAPER)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == ["index.html", "verdicts.md"]

    def broken(*_: object) -> str:
        raise RuntimeError("planted")

    monkeypatch.setattr(_html, "markdown", broken)
    for target in (folder, tmp_path / "other"):
        with pytest.raises(RuntimeError):
            _html.write_html(audited(claim("a")), target, PAPER)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before and not (tmp_path / "other").exists()


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


def test_a_missing_library_is_one_line_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="--html needs jinja2: pip install Jinja2 latex2mathml"):
        _html.require()
    assert run("audit", "--only", "counterexample-2-line", "--html", tmp_path / "out") == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["no/such/folder", "a-file"])
def test_audit_html_refuses_a_place_that_cannot_be_written(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-file").write_text("x")
    assert run("audit", "--only", "counterexample-2-line", "--html", tmp_path / target) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1


def test_audit_html_writes_the_page_of_the_claims_asked_for(tmp_path: Path) -> None:
    assert run("audit", "--only", "counterexample-2-line", "--jobs", "1", "--html", tmp_path / "out") == 0
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    page = checked(text)
    assert "counterexample-2-line" in page.ids and text.count("<article") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "verdicts.md"]


def test_the_terminal_table_has_headings_only_where_there_are_several_sections() -> None:
    def shown(audit: Audit, paper: Paper | None) -> list[str]:
        console = Console(file=io.StringIO(), width=150)
        print_audit(audit, console, paper)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().splitlines()

    lines = shown(mixed(), PAPER)
    heads = [line.split("  ")[0].strip() for line in lines if re.match(r"(Section|Appendix|Elsewhere)", line)]
    assert heads == ["Section 1", "Section 2", "Appendix A.1", "Appendix B.1", ELSEWHERE]
    assert sum(line.startswith(tuple(r.id + " " for r in mixed().results)) for line in lines) == len(mixed().results)
    assert not any(line.startswith("Section") for line in shown(mixed(), None) + shown(audited(claim("a")), PAPER))


if __name__ == "__main__":
    INDEX.write_text(markdown(expected(), find_paper(None)), encoding="utf-8")
