"""Pictures on the page: drawn for it alone, offline, the same bytes each time, and a broken one costs a line, not the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from efcheck import _html, content
from efcheck._picture import drawn
from efcheck._verdicts import Paper
from efcheck.claims import Audit, Claim, collect
from efcheck.errors import ArgumentError
from efcheck.evidence import Evidence
from efcheck.report import differences

FOLDERS = [place for name in content.CLAIM_FOLDERS if (place := content.folder(name)) is not None]
FILES = [file for place in FOLDERS for file in content.scripts(place) if ".picture\n" in file.read_text(encoding="utf-8")]
COSTLY = {"extensions", "generalization_draws", "sparse_noise_speed"}  # seconds each
HEAD = """
from efcheck.claims import Claim
from efcheck.evidence import Evidence

c = Claim("c", "p. 1", "x <= 1")

@c.printed
def check():
    return Evidence("exact", "proved", "by hand")
"""
GOOD = """
@c.picture
def line(ax):
    ax.plot([0, 1], [0, 1], color="#000000")
    return "a line"
"""
BAD = """
@c.picture
def broken(ax):
    return missing
"""


def efcheck(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", "audit", "--jobs", "1", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def line(ax: Axes) -> str:
    ax.plot([0, 1], [0, 1], "s--", color="#000000")
    ax.plot([0, 1], [1, 1 / 3], color="#9A9A9A")
    ax.plot([0, 1], [1, 0], color="#D55E00")
    ax.set_title("<b>&amp;", backgroundcolor="#FFFFFF")
    return "a line from\n    x_0 = 0"


def page(*drawings: Any, id: str = "c") -> tuple[Audit, str]:
    claim = Claim(id, "p. 1", "x <= 1")
    claim.printed(lambda: Evidence("exact", "proved", "by hand"))
    for draw in drawings:
        claim.picture(draw)
    found = Audit((claim.audit(pictures=True),), (), 0, 1.0)
    return found, _html.render(found, Paper())


def test_a_picture_stands_in_the_page_with_a_caption_that_describes_it() -> None:
    _, text = page(line)
    figure = text[text.index("<figure") : text.index("</figure>")]
    named = re.search(r'role="img" aria-labelledby="([^"]*)"', figure)
    assert named and f'<figcaption id="{named[1]}">a line from <i>x</i><sub>0</sub> = 0</figcaption>' in figure
    assert "<svg width=" in figure and "<figure" not in page()[1]


def test_a_picture_fetches_nothing_and_has_no_words_of_a_file() -> None:
    svg = drawn(line, "c 1").svg
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert not re.search(r"https?:|<[?]xml|<!--|<style|<metadata|<script|xlink|@import", svg)
    assert all(target.startswith("#") for target in re.findall(r'(?:href="|url\()([^")]*)', svg))


def test_a_picture_has_the_same_bytes_each_time_and_ids_of_its_own() -> None:
    assert drawn(line, "c 1") == drawn(line, "c 1")
    ids = [set(re.findall(r'id="([^"]*)"', drawn(line, name).svg)) for name in ("c 1", "c 2", "d 1")]
    assert all(ids) and not ids[0] & ids[1] and not (ids[0] | ids[1]) & ids[2]
    _, text = page(line, line)
    every = re.findall(r'id="([^"]*)"', text)
    assert len(every) == len(set(every)) and set(re.findall(r'href="#(p[0-9a-f]{10}[^"]*)', text)) <= set(every)


def test_the_colours_follow_the_page() -> None:
    svg = drawn(line, "c 1").svg
    assert "stroke: currentColor" in svg and "fill: var(--panel)" in svg
    assert "stroke: #9a9a9a; stroke: color-mix(in srgb, currentColor 40%, transparent)" in svg
    assert "stroke: #d55e00; stroke: color-mix(in srgb, #d55e00, currentColor 20%)" in svg
    assert "#000000" not in svg and "#ffffff" not in svg


def test_there_is_one_panel_for_each_parameter_and_the_drawing_may_set_the_size() -> None:
    def two(left: Axes, right: Axes) -> str:
        assert left.figure is right.figure and left is not right
        return "two"

    def tall(ax: Axes) -> str:
        ax.figure.set_size_inches(2, 4)  # type: ignore[union-attr]
        return "tall"

    assert drawn(two, "c 1").width > drawn(line, "c 1").width
    assert drawn(tall, "c 1").width == 240 and 'width="240" height="480"' in drawn(tall, "c 1").svg


def test_a_picture_without_parameters_is_refused_where_it_is_written() -> None:
    with pytest.raises(ArgumentError, match="`picture` must take an Axes for each of its panels") as caught:
        Claim("c", "p. 1", "x <= 1").picture(lambda: "nothing")
    assert "\n" not in str(caught.value)


def test_a_picture_that_fails_is_one_line_with_its_place_and_the_others_are_drawn() -> None:
    def broken(ax: Axes) -> str:
        raise ValueError("planted")

    def silent(ax: Axes) -> Any:
        return None

    found, text = page(broken, line, silent)
    lines = differences(found)
    here = Path(__file__).name
    assert len(lines) == 2 and all(line.startswith("c: ") and here in line and "\n" not in line for line in lines)
    assert "ValueError: planted (its picture broken is left out)" in lines[0]
    assert "silent must return its caption, a text; got None" in lines[1]
    assert text.count("<figure") == 1 and text.count("ValueError: planted") == 2  # at the top, and at the claim


def test_the_audit_of_a_file_with_a_broken_picture_writes_the_page_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HEAD + GOOD + BAD)
    done = efcheck("a.py", "--html", "out", cwd=tmp_path)
    told = [line for line in done.stdout.splitlines() if line.startswith("c: ")]
    assert done.returncode == 1 and done.stderr == "" and len(told) == 1 and re.search(r"a\.py:\d+: NameError", told[0])
    assert (tmp_path / "out" / "index.html").read_text().count("<figure") == 1
    plain = efcheck("a.py", cwd=tmp_path)
    assert plain.returncode == 0 and "broken" not in plain.stdout


def test_two_audits_draw_the_same_page_and_one_without_a_page_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HEAD + GOOD)
    figures = []
    for name in ("one", "two"):
        assert efcheck("a.py", "--html", name, cwd=tmp_path).returncode == 0
        figures.append(re.findall(r"<figure.*?</figure>", (tmp_path / name / "index.html").read_text(), re.DOTALL))
    assert figures[0] == figures[1] != []
    code = "import sys; from efcheck.claims import audit; audit(['a.py']); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "file", [pytest.param(f, marks=pytest.mark.slow if f.stem in COSTLY else (), id=f.stem) for f in FILES]
)
def test_the_paper_s_pictures_are_drawn_without_a_warning_and_are_not_heavy(file: Path) -> None:
    for claim in collect(file):
        for number, draw in enumerate(claim.drawings):
            picture = drawn(draw, f"{claim.id} {number}")
            assert len(picture.caption) > 40 and len(picture.svg) < 150_000
            assert "nan" not in picture.svg.lower()
