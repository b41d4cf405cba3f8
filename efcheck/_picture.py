"""A claim's picture: a function that draws into axes, made an SVG that stands inside the page.

The bytes depend on the drawing and on matplotlib's version alone. The colours follow the page (light, dark, print); nothing
is fetched, and no id of one picture is that of another.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from efcheck.errors import EfcheckError

SCALE = 1.25  # of the page's pixels to the paper's: 8 pt there are 13 px here
_DROPPED = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>|\s+xmlns(?::\w+)?=\"[^\"]*\"", re.DOTALL)
_COLOR = re.compile(r"(fill|stroke): #([0-9a-f]{6})")
_DECIMALS = re.compile(r"(\.\d\d)\d+")


@dataclass(frozen=True)
class Picture:
    """An <svg> element, its width in pixels, and what is seen on it."""

    svg: str
    width: int
    caption: str


def drawn(draw: Callable[..., str], name: str) -> Picture:
    """Call `draw` with one axes for each of its parameters, side by side; what it returns is the caption.

    `name` is unique on the page. Raises what `draw` raises, and EfcheckError if it returns no text.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    from efcheck import figure

    prefix = "p" + hashlib.sha256(name.encode()).hexdigest()[:10]
    panels = len(inspect.signature(draw).parameters)
    with matplotlib.rc_context(fname=str(figure.STYLE_FILE)):
        matplotlib.rcParams["svg.hashsalt"] = prefix  # or the ids would be random
        page = Figure(figsize=figure.HALF_WIDTH if panels == 1 else figure.FULL_WIDTH, layout="constrained")
        FigureCanvasSVG(page)
        caption = draw(*page.subplots(1, panels, squeeze=False)[0])
        if not isinstance(caption, str) or not caption.strip():
            raise EfcheckError(f"{draw.__name__} must return its caption, a text; got {caption!r}.")
        text = io.StringIO()
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        page.savefig(text, format="svg", transparent=True, metadata=none)
        width, height = (round(96 * SCALE * inches) for inches in page.get_size_inches())
    return Picture(_inline(text.getvalue(), prefix, width, height), width, " ".join(caption.split()))


def _inline(text: str, prefix: str, width: int, height: int) -> str:
    """What stands inside a page: no prolog, no names of others, two decimals, and only the ids that are referred to."""
    text = _DROPPED.sub("", text[text.index("<svg") :]).replace("xlink:href", "href")
    used = set(re.findall(r"(?:href=\"|url\()#([^\")]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"(href=\"|url\()#", rf"\g<1>#{prefix}-", text)
    text = re.sub(r' d="[^"]*"', lambda m: _DECIMALS.sub(r"\1", " ".join(m[0].split("\n"))), text)
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', f'<svg width="{width}" height="{height}"', text, count=1)
    return re.sub(r">\s+<", "><", _COLOR.sub(_of_the_page, text).replace(' version="1.1"', "")).strip()


def _of_the_page(match: re.Match[str]) -> str:
    """Black is the page's ink, white its paper, grey a share of ink; a colour has a fifth of ink in it, to stand out from both
    a light and a dark page. A browser that cannot mix keeps the colour that comes first.
    """
    name, color = match[1], match[2]
    if color in ("000000", "ffffff"):
        return f"{name}: {'currentColor' if color == '000000' else 'var(--panel)'}"
    if color == color[:2] * 3:
        return f"{match[0]}; {name}: color-mix(in srgb, currentColor {round(100 - int(color[:2], 16) / 2.55)}%, transparent)"
    return f"{match[0]}; {name}: color-mix(in srgb, #{color}, currentColor 20%)"
