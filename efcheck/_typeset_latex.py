r"""Nodes of a statement as LaTeX: mathematics that stands together becomes one $...$, the rest is text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from efcheck._typeset import Node
from efcheck._typeset_html import LETTERS
from efcheck._typeset_html import SIGNS as HTML_SIGNS

SIGNS = {
    "iff": r"\Leftrightarrow ", "dots": r"\dots ", "le": r"\le ", "ge": r"\ge ", "ne": r"\ne ", "eq": "=", "to": r"\to ",
    "implies": r"\Rightarrow ", "pm": r"\pm ", "mp": r"\mp ", "norm": r"\|", "lt": "<", "gt": ">", "plus": "+",
    "sim": r"\sim ", "bar": "|", "minus": "-", "cdot": r"\cdot ", "star": r"\star ", "prime": r"\prime ",
    "nabla": r"\nabla ", "sum": r"\sum ", "infinity": r"\infty ",
}  # fmt: skip
_NAMES = {"min", "max", "log", "exp", "sup", "inf", "ker"}  # LaTeX has these
_MATHS = ("greek", "letter", "accent", "name", "sign", "sup", "sub", "root", "abs", "angle")
_NEUTRAL = "(){}[],;:./!"  # the same in text and in mathematics
_TEXT = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "^": r"\^{}", "~": r"\~{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "*": "$*$",
    "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "×": r"$\times$", "∈": r"$\in$", "∞": r"$\infty$",
    "√": r"$\surd$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "²": "$^{2}$", "ℝ": "$R$", "°": r"$^{\circ}$",
}  # fmt: skip
_TEXT |= {char: f"${SIGNS[name]}$" for name, char in HTML_SIGNS.items() if len(char) == 1 and ord(char) > 127}
_TEXT |= {char: rf"$\{name}$" for name, char in LETTERS.items()}


def write(nodes: Sequence[Node]) -> str:
    """LaTeX of these nodes for running text."""
    parts = []
    for run in _runs(nodes):
        if any(node.kind in _MATHS for node in run):
            lead, body, tail = _trim(run)
            parts += [*map(_text, lead), f"${_tight(_maths(body))}$", *map(_text, tail)]
        else:
            parts += [_text(node) for node in run]
    return "".join(parts)


def escape(text: str) -> str:
    """Text for LaTeX; a character that a plain document cannot print is shown by its code."""
    return "".join(_character(char) for char in text)


def _character(char: str) -> str:
    if char in _TEXT:
        return _TEXT[char]
    if 32 <= ord(char) < 127 or (0xC0 <= ord(char) < 0x100 and char not in "ÐÞðþ×÷"):
        return char
    return " " if char.isspace() else f"[U+{ord(char):04X}]"


def _runs(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Stretches that may be one formula: cut at words, and after a comma or stop that a space follows."""
    run: list[Node] = []
    for i, node in enumerate(nodes):
        neutral = node.kind in ("space", "number") or (node.kind == "mark" and node.text in _NEUTRAL)
        if not neutral and node.kind not in _MATHS:
            yield run
            yield [node]
            run = []
            continue
        run.append(node)
        stops = node.kind == "mark" and node.text in ",;:." and _level(run) <= 0
        if stops and i + 1 < len(nodes) and nodes[i + 1].kind == "space":
            yield run
            run = []
    yield run


def _trim(run: list[Node]) -> tuple[list[Node], list[Node], list[Node]]:
    """What stays outside the formula at the ends of a run: spaces, stops, brackets whose partner is elsewhere."""
    start, end = 0, len(run)
    while start < end and (run[start].kind == "space" or run[start].text in tuple(",;:.)]}")):
        start += 1
    while end > start and (run[end - 1].kind == "space" or run[end - 1].text in tuple(",;:.([{")):
        end -= 1
    if end > start and run[end - 1].text in (")", "]", "}") and _level(run[start:end]) < 0:
        end -= 1
    if start < end and run[start].text in ("(", "[", "{") and _level(run[start:end]) > 0:
        start += 1
    return run[:start], run[start:end], run[end:]


def _level(run: list[Node]) -> int:
    """Brackets opened less brackets closed."""
    marks = [node.text for node in run if node.kind == "mark"]
    return sum(mark in ("(", "[", "{") for mark in marks) - sum(mark in (")", "]", "}") for mark in marks)


def _tight(source: str) -> str:
    """Without the spaces that a command does not need behind it."""
    return re.sub(r"(\\[A-Za-z]+) +(?=[\^_/(){},;]|$)", r"\1", re.sub(" {2,}", " ", source))


def _text(node: Node) -> str:
    if node.kind == "math":
        return f"${node.text}$"
    if node.kind == "code":
        return rf"\texttt{{{escape(node.text)}}}"
    if node.kind == "emphasis":
        return rf"\emph{{{write(node.inside)}}}"
    return escape(node.text)


def _maths(nodes: Sequence[Node]) -> str:
    """LaTeX of these nodes inside a formula; a second script of one base gets an empty base of its own."""
    parts: list[str] = []
    scripts: set[str] = set()
    for node in nodes:
        if node.kind in ("sup", "sub"):
            if node.kind in scripts:
                parts.append("{}")
                scripts = set()
            scripts.add(node.kind)
        elif node.kind != "space":
            scripts = set()
        parts.append(_one(node))
    return "".join(parts)


def _one(node: Node) -> str:
    inner = _maths(node.inside)
    match node.kind:
        case "greek":
            return rf"\{node.text} "
        case "name":
            return rf"\{node.text} " if node.text in _NAMES else rf"\operatorname{{{node.text}}}"
        case "accent":
            return rf"\{node.text}{{{inner}}}"
        case "sign":
            return SIGNS[node.text]
        case "sup" | "sub":
            return f"{'^' if node.kind == 'sup' else '_'}{{{inner}}}"
        case "root":
            return rf"\sqrt{{{inner}}}"
        case "abs":
            return f"|{inner}|"
        case "angle":
            return rf"\langle {inner}\rangle "
        case "math":
            return f"{{{node.text}}}"
        case "letter" | "number" | "space":
            return node.text
    if node.kind == "mark" and re.fullmatch(r"[(){}\[\],;:./!-]", node.text):
        return rf"\{node.text}" if node.text in "{}" else node.text
    return rf"\text{{{_text(node)}}}"
