"""Nodes of a statement as HTML; LaTeX between dollars as MathML."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import lru_cache

from efcheck._typeset import GREEK, Node

SIGNS = {
    "iff": "⇔", "dots": "…", "le": "≤", "ge": "≥", "ne": "≠", "eq": "=", "to": "→", "implies": "⇒", "pm": "±", "mp": "∓",
    "norm": "‖", "lt": "&lt;", "gt": "&gt;", "plus": "+", "sim": "∼", "bar": "|", "minus": "−", "cdot": "·", "star": "*",
    "prime": "′", "nabla": "∇", "sum": "∑", "infinity": "∞",
}  # fmt: skip
_ACCENTS = {"bar": "\u0304", "tilde": "\u0303", "hat": "\u0302"}
_LOWER = "αβγδεζηθικλμνξπρστυφχψω"
_UPPER = "ΓΔΘΛΞΠΣΦΨΩ"
LETTERS = dict(zip(GREEK, _LOWER + _UPPER, strict=True))
_MATHML = (
    "math mrow mi mn mo ms mtext mspace msub msup msubsup munder mover munderover mfrac msqrt mroot mtable mtr mtd mpadded "
    "mphantom menclose mstyle mmultiscripts mprescripts none"
)
_STYLING = (
    "display fence stretchy form separator accent accentunder mathvariant movablelimits linethickness columnalign rowspacing "
    "columnspacing columnlines rowlines width height depth lspace rspace minsize maxsize largeop symmetric notation"
)
_TAGS, _ATTRIBUTES = frozenset(_MATHML.split()), frozenset(_STYLING.split())


def write(nodes: Sequence[Node]) -> str:
    """HTML of these nodes, in order."""
    return "".join(_one(node) for node in nodes)


def escape(text: str) -> str:
    """Text for HTML, outside attributes; characters that no document may hold become a mark."""
    clean = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    return html.escape(clean, quote=False)


def _one(node: Node) -> str:
    inner = write(node.inside)
    match node.kind:
        case "greek":
            return LETTERS[node.text]
        case "letter":
            return f"<i>{escape(node.text)}</i>"
        case "accent":
            return f"<i>{escape(node.inside[0].text)}{_ACCENTS[node.text]}</i>"
        case "sign":
            return SIGNS[node.text]
        case "sup" | "sub":
            return f"<{node.kind}>{inner}</{node.kind}>"
        case "root":
            short = len(node.inside) == 1 and node.inside[0].kind in ("number", "letter", "greek")
            return f"√{inner}" if short else f"√({inner})"
        case "abs":
            return f"|{inner}|"
        case "angle":
            return f"⟨{inner}⟩"
        case "emphasis":
            return f"<em>{inner}</em>"
        case "code":
            return f"<code>{escape(node.text)}</code>"
        case "math":
            return mathml(node.text)
    return escape(node.text)


@lru_cache(maxsize=4096)
def mathml(source: str) -> str:
    """MathML of a LaTeX formula; the source itself where it cannot be translated to plain MathML."""
    try:
        from latex2mathml.converter import convert

        root = ET.fromstring(convert(source).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
        allowed = all(node.tag in _TAGS and set(node.attrib) <= _ATTRIBUTES for node in root.iter())
    except Exception:  # the library raises many kinds, and leaves markup inside \text as it is
        allowed = False
    return ET.tostring(root, encoding="unicode") if allowed else f"<code>{escape(source)}</code>"
