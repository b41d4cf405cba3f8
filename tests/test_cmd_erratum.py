"""efcheck erratum: a LaTeX note that compiles, on what does not hold as printed and on nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from efcheck import cli
from efcheck._erratum import render
from efcheck._verdicts import Paper
from efcheck.claims import Audit, Claim
from efcheck.errors import ArgumentError
from efcheck.evidence import Evidence

PAPER = Paper("On 100 % of {braces} & \\commands", "A. Author", "2019")
AWKWARD = "50 % of x_t^2 & $1 <= ||v||_1 #2 {a: b} ~ \\foo | 'y' \"z\" ☃ "


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


def refuted(
    id: str, text: str = "x_t <= 1", repaired: str | None = "x_t <= 2", outcome: str = "proved", source: str = "p. 1"
) -> Claim:
    claim = Claim(id, source, text, repaired, expect="refuted", expect_repaired=outcome if repaired else None)
    data = {"witness": {"gamma": "1/2", text: text}, "fraction": "1" * 90 + "/" + "3" * 90}
    claim.printed(lambda: Evidence("witness", "refuted", text, data, covers=text))
    claim.printed(lambda: Evidence("exact", "proved", "beside the point"))
    if repaired:
        claim.repaired(lambda: Evidence("identity", outcome, f"why {text}", {"long": list(range(999))}))
    return claim


def note(*claims: Claim, ids: tuple[str, ...] = ()) -> str:
    return render(Audit(tuple(c.audit() for c in claims), (), 0, 1.0), ids, PAPER)


def compiles(text: str, folder: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    (folder / "note.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "note.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]


def balanced(text: str) -> None:
    bare = re.sub(r"\\.", "", text, flags=re.S)
    assert bare.count("$") % 2 == 0 and bare.count("{") == bare.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_the_note_says_what_is_printed_why_it_fails_the_witness_the_repair_and_its_proof() -> None:
    text = note(refuted("theorem-1"))
    order = [
        r"\claim{theorem-\hspace{0pt}1}",
        r"\begin{printed}",
        "$x_{t} \\le 1$",
        "Why it does not hold",
        "refuted by witness",
    ]
    order += [r"Witness: $\gamma$ $=$ 1/2", r"\begin{repaired}", "$x_{t} \\le 2$", r"\begin{proof}", "proved by identity"]
    places = [text.index(part) for part in order]
    assert places == sorted(places) and "beside the point" not in text
    balanced(text)


def test_a_repair_that_is_only_supported_is_not_called_a_proof() -> None:
    text = note(refuted("a", outcome="supported"))
    assert r"\begin{proof}" not in text and "supported, not a proof" in text
    assert "None is offered here" in note(refuted("a", repaired=None))


def test_the_note_leaves_out_what_holds_and_what_the_paper_does_not_say() -> None:
    ours = refuted("ours-1", source="Section 1 (ours: what if)")
    holds = Claim("holds", "p. 1", "true")
    holds.printed(lambda: Evidence("exact", "proved", "by hand"))
    text = note(ours, holds, refuted("b"))
    assert r"\claim{b}" in text and "ours-" not in text and "holds}" not in text
    assert r"\claim{ours-" in note(ours, holds, ids=("ours",))
    with pytest.raises(
        ArgumentError, match=r"must name a statement that does not hold as printed; got holds\. holds is proved"
    ):
        note(holds, refuted("b"), ids=("holds",))


def test_any_text_in_a_claim_balances_and_compiles(tmp_path: Path) -> None:
    text = note(refuted("a-1", AWKWARD, AWKWARD, source=AWKWARD), refuted("b_2", AWKWARD, AWKWARD, "supported"))
    balanced(text)
    compiles(text, tmp_path)


def test_the_command_prints_a_document_on_the_claims_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("erratum", "counterexample-2-line", "--jobs", "1") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(r"\documentclass") and shown.out.endswith("\\end{document}\n") and shown.err == ""
    assert shown.out.count(r"\begin{printed}") == 1 and "Error Feedback Fixes SignSGD" in shown.out
    assert re.findall(r"\\usepackage.*", shown.out) == [r"\usepackage{amsmath,amsthm}"]
    balanced(shown.out)
    compiles(shown.out, tmp_path)


def test_the_command_takes_an_id_for_those_under_it_and_writes_a_file(tmp_path: Path) -> None:
    target = tmp_path / "erratum.tex"
    assert run("erratum", "theorem-4", "--jobs", "1", "--out", target) == 0
    text = target.read_text(encoding="utf-8")
    assert r"\claim{theorem-\hspace{0pt}4-\hspace{0pt}identity}" in text
    assert r"\claim{theorem-\hspace{0pt}4}" not in text  # it holds
    assert [path.name for path in tmp_path.iterdir()] == ["erratum.tex"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["counterexample-2-minimum"], "counterexample-2-minimum is proved"),
        (["no-such-claim"], "no-such-claim"),
        (["counterexample-2-line", "--out", "no/such/folder/a.tex"], "no/such/folder"),
        (["counterexample-2-line", "--out", "."], "directory"),
    ],
    ids=["it-holds", "unknown", "no-folder", "a-folder"],
)
def test_the_command_refuses_bad_input_in_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("erratum", *arguments, "--jobs", "1") == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and says in shown.err
    assert list(tmp_path.iterdir()) == []
