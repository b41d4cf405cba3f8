"""Prose with ASCII mathematics as HTML and LaTeX: what is mathematics, what stays a word, and that nothing breaks either."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from efcheck import content
from efcheck._typeset import GREEK, NAMES, SIGNS, latex_is_closed, to_html, to_latex
from efcheck.claims import Claim, collect

FRAGMENTS = [
    *GREEK,
    *SIGNS,
    *NAMES,
    "x_t",
    "x_{t+1}",
    "||x||^2",
    "sqrt(",
    "(",
    ")",
    "{",
    "}",
    "^",
    "_",
    "**",
    "*",
    "$",
    "`",
    "<a, b>",
]
FRAGMENTS += [
    "\\",
    "%",
    "&",
    "#",
    "~",
    '"',
    "'",
    "-",
    " ",
    "1e-06",
    "Eq(a, b)",
    "Abs(x)",
    "grad f",
    "sum_",
    "SGD's",
    "\n",
    "<b>",
    "é",
    "∞",
]
statements = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))


def plain(html: str) -> str:
    """HTML without the slant of variables."""
    return html.replace("<i>", "").replace("</i>", "")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("gamma > 0", "γ &gt; 0"),
        ("||x_{t+1}||^2 <= 4", "‖x<sub>t+1</sub>‖<sup>2</sup> ≤ 4"),
        ("sign(0) = +-1", "sign(0) = ±1"),
        ("A^T (A A^T)^{-1} y", "A<sup>T</sup> (A A<sup>T</sup>)<sup>−1</sup> y"),
        ("q^(t-1)", "q<sup>t−1</sup>"),
        ("x_0, x_80, a_i, lambda_min", "x<sub>0</sub>, x<sub>80</sub>, a<sub>i</sub>, λ<sub>min</sub>"),
        ("sqrt(1 - delta)", "√(1 − δ)"),
        ("sqrt(5)", "√5"),
        ("sqrt(sqrt(x) + 1)", "√(√x + 1)"),
        ("E||g_t||^2 -> 0", "E‖g<sub>t</sub>‖<sup>2</sup> → 0"),
        ("x* and f*, gamma* s", "x<sup>*</sup> and f<sup>*</sup>, γ<sup>*</sup> s"),
        ("4*gamma*(1 - beta)**2", "4·γ·(1 − β)<sup>2</sup>"),
        ("sum_{i=0}^t gamma g_i", "∑<sub>i=0</sub><sup>t</sup> γ g<sub>i</sub>"),
        ("max_{i in [t]} |g_i|", "max<sub>i ∈ [t]</sub> |g<sub>i</sub>|"),
        ("<a_i, x> != 0", "⟨a<sub>i</sub>, x⟩ ≠ 0"),
        ("grad f(x)", "∇f(x)"),
        ("x1 + x2 = 2", "x<sub>1</sub> + x<sub>2</sub> = 2"),
        ("p - p'/2", "p − p<sup>′</sup>/2"),
        ("1e-06 and 1.1e-11", "10<sup>−6</sup> and 1.1·10<sup>−11</sup>"),
        ("Eq(r**2, 1) and Ne(x1, 0)", "r<sup>2</sup> = 1 and x<sub>1</sub> ≠ 0"),
        ("(1 - beta)*Abs(P) <= 2*epsilon", "(1 − β)·|P| ≤ 2·ε"),
        ("t = 0, 1, ...", "t = 0, 1, …"),
        ("xbar_T, xt_{t+1} and xt_t", "x̄<sub>T</sub>, x̃<sub>t+1</sub> and x̃<sub>t</sub>"),
        ("sum_{i=0}^infinity q^i, T -> oo", "∑<sub>i=0</sub><sup>∞</sup> q<sup>i</sup>, T → ∞"),
        ("A^+ y", "A<sup>+</sup> y"),
        ("a of *rows*", "a of <em>rows</em>"),
        ("`x_t <= y`", "<code>x_t &lt;= y</code>"),
        ("2 x 2 matrices", "2 × 2 matrices"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
    ],
)
def test_ascii_mathematics_becomes_readable_html(text: str, html: str) -> None:
    assert plain(to_html(text)) == html


@pytest.mark.parametrize(
    "text",
    [
        "counterexample-3-line",
        "extension-momentum-1-beta-0.5",
        "extension-compressor-rank-1-3 (repaired): proved",
        "EF-SIGNSGD, top-1, max-margin, over-parametrised, 32-bit, i.e. non-smooth, a.s., w.p.",
        "see counterexample_3.py, efcheck.span.GradientSpan and e_norm, span_distance, last_pt",
        "https://example.org/a_b*c?d=e^2",
        "SGD's noise, SIGNSGDM's, the convention's, n workers' gradients",
        "what, that, chat, a crowbar, to infinity",
        "the sum of squares, the gradient of, in the inner product, an alphabet, betamax, a pint of gammas",
        "Section B.7, A.6, Appendix A.1, p. 4, on 2026-11-24",
        "the price is 5 % of 100; 'bad' coordinates",
    ],
)
def test_words_ids_and_files_are_left_alone(text: str) -> None:
    assert plain(to_html(text)) == text


@pytest.mark.parametrize("text", ["counterexample-3-line", "remark-10-current-step", "sparse-noise-signsgd-faster"])
def test_ids_are_left_alone_in_latex(text: str) -> None:
    assert to_latex(text) == text


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("gamma > 0", r"$\gamma > 0$"),
        ("any gamma >= 0: x_{t+1} = x_t", r"any $\gamma \ge 0$: $x_{t+1} = x_{t}$"),
        ("q = sqrt(1 - delta)", r"$q = \sqrt{1 - \delta}$"),
        ("||x_t||^2 <= sigma^2", r"$\|x_{t}\|^{2} \le \sigma^{2}$"),
        ("(SGD on [-1, 1])", r"(SGD on $[-1, 1]$)"),
        ("{x: f(x) = 0}", r"$\{x: f(x) = 0\}$"),
        ("5 % & #1", r"5 \% \& \#1"),
        ("f(xt_t) <= f(xbar)", r"$f(\tilde{x}_{t}) \le f(\bar{x})$"),
        ("x^2^3", "$x^{2}{}^{3}$"),
        ("*rows* of A", r"\emph{rows} of A"),
        (r"so $\|v\|_1 \le d$ holds", r"so $\|v\|_1 \le d$ holds"),
        ("a snowman ☃", "a snowman [U+2603]"),
        ("50 dollars: $", r"50 dollars: \$"),
    ],
)
def test_ascii_mathematics_becomes_latex(text: str, latex: str) -> None:
    assert to_latex(text) == latex


def test_latex_between_dollars_becomes_mathml_and_what_cannot_stays_as_code() -> None:
    assert to_html(r"so $\frac{1}{2} \le \delta$").startswith("so <math")
    assert "<mfrac>" in to_html(r"$\frac{1}{2}$")
    assert "<math" not in to_html(r"$\frac{$ x") and "$" in to_html(r"$\frac{$ x")
    assert to_html(r"$\left(x$") == r"<code>\left(x</code>"


@pytest.mark.parametrize(
    "text",
    [r"$\text{<script>alert(1)</script>}$", "<script>alert(1), 2</script>", r"$\href{javascript:x}{y}$", r"$\style{x:y}{z}$"],
)
def test_no_markup_of_a_claim_reaches_the_page(text: str) -> None:
    html = to_html(text)
    assert "<script" not in html and "href" not in re.sub(r"<code>.*?</code>", "", html)
    assert "style=" not in html


def unescaped(latex: str, char: str) -> int:
    return len(re.findall(re.escape(char), re.sub(r"\\.", "", latex, flags=re.S)))


@settings(max_examples=300)
@given(statements)
@example("$" * 3 + "{")
@example("x^{" * 30)
@example("sqrt(" * 40 + ")" * 40)
@example("\x00\ud800<&>")
def test_any_text_gives_html_that_is_escaped_and_well_formed(text: str) -> None:
    html = to_html(text)
    root = ET.fromstring(f"<p>{html.replace('&nbsp;', ' ')}</p>")
    tags = {node.tag for node in root.iter()}
    allowed = {"p", "i", "sub", "sup", "em", "code", "math"}
    assert all(tag in allowed or tag.startswith("m") for tag in tags)


@settings(max_examples=300)
@given(statements)
@example("x^2 ^3 _4 _5")
@example("${$}")
@example("\\" * 3 + "$a\\$")
def test_any_text_gives_latex_whose_braces_and_dollars_balance(text: str) -> None:
    latex = to_latex(text)
    assert unescaped(latex, "$") % 2 == 0
    assert latex_is_closed(re.sub(r"\\\$|\$", " ", latex))
    assert "$" in text or unescaped(latex, "#") + unescaped(latex, "%") + unescaped(latex, "&") == 0


@settings(max_examples=200)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.", max_size=40))
def test_words_of_two_letters_and_more_survive_unless_they_are_notation(text: str) -> None:
    shown = plain(to_html(text)).replace("…", "...")
    for word in re.findall(r"(?<![\w.])[a-z]{2,}(?![\w.])", text):
        assert word in shown or word in (*GREEK, "sum", "grad"), (text, shown)


def claims() -> list[Claim]:
    folders = [content.folder(name) for name in content.CLAIM_FOLDERS]
    return [claim for place in folders if place for file in content.scripts(place) for claim in collect(file)]


def test_every_statement_of_the_paper_leaves_no_ascii_notation_behind() -> None:
    for claim in claims():
        for text in (claim.statement, claim.repaired_statement or ""):
            shown = re.sub(r"<code>.*?</code>|<math.*?</math>|<[^>]+>", " ", to_html(text))
            left = re.findall(rf"\|\||&lt;=|&gt;=|\+-|-&gt;|!=|\*\*|\bsqrt\b|(?<![\w-])(?:{'|'.join(GREEK)})(?![\w-])", shown)
            assert not left, f"{claim.id}: {left} in {shown}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_every_statement_of_the_paper_compiles_as_latex(tmp_path: Path) -> None:
    lines = [to_latex(text) for c in claims() for text in (c.statement, c.repaired_statement or "")]
    head = "\\documentclass{article}\n\\usepackage{amsmath}\n\\begin{document}\n"
    (tmp_path / "a.tex").write_text(head + "\n\n".join(lines) + "\n\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
