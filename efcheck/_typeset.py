r"""Prose with ASCII mathematics, parsed once and written as HTML or as LaTeX.

    parse(text) -> nodes          to_html(text) -> safe HTML          to_latex(text) -> LaTeX for running text

`||x_{t+1}||^2 <= sqrt(1 - delta)` becomes a norm, a subscript, a power, a relation, a root and a Greek letter; words, names
with hyphens (ids of claims), file names and `code` stay as they are. Mathematics between dollars, $\|x_t\|^2$, is LaTeX: it
goes to MathML or through. Nothing raises: what is not understood is text, and text is escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
GREEK = tuple(_GREEK.split())
NAMES = ("argmin", "argmax", "sign", "dist", "span", "rank", "diag", "min", "max", "log", "exp", "sup", "inf", "ker", "E", "P")
# What is written -> name of the sign; the back ends know the signs by name. Longest first.
SIGNS = {
    "<=>": "iff",
    "...": "dots",
    "<=": "le",
    ">=": "ge",
    "!=": "ne",
    "==": "eq",
    "->": "to",
    "=>": "implies",
    "+-": "pm",
    "-+": "mp",
    "||": "norm",
    "<": "lt",
    ">": "gt",
    "=": "eq",
    "+": "plus",
    "~": "sim",
    "|": "bar",
}
_DEPTH = 8  # nesting beyond this stays text


@dataclass(frozen=True)
class Node:
    """A piece of a statement: its kind, its text, and what is inside it."""

    kind: str
    text: str = ""
    inside: tuple[Node, ...] = ()


_WORDS = re.compile(
    r"""
    https?://\S+                                            # addresses
  | (?:[A-Za-z]\.){2,}                                      # a.s., w.p., i.e.
  | (?:p|pp|cf|vs|eq|Eq|Fig|Sec)\.(?=\s)
  | [A-Z]\.\d+(?:\.\d+)*                                    # A.6, B.7
  | \d{4}-\d\d-\d\d                                         # dates
  | (?:[\w-]*/)*[A-Za-z]\w+(?:\.[A-Za-z]\w+)+               # files, modules
    """,
    re.X,
)
_HYPHENED = re.compile(
    r"([A-Za-z]{2,})\d*(?:[-_][A-Za-z0-9]+(?:\.\d+)?)*-[A-Za-z0-9]+(?:\.\d+)?(?:[-_][A-Za-z0-9]+(?:\.\d+)?)*"
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:e([+-]?\d+)(?![\w.]))?")
_ACCENTED = re.compile(r"([A-Za-z])(bar|tilde|hat)|(x)(t)")  # xbar, xtilde; xhat and xt (the same as xtilde) with a subscript
_SCRIPT = re.compile(rf"[+-]?(?:infinity\b|oo\b|\d+(?:\.\d+)?|(?:{'|'.join(GREEK)})\b|[A-Za-z](?![A-Za-z]))|[+*](?![\w(])")
_ANGLE = re.compile(r"<([^\s<>=][^<>=\n]{0,80}?,[^<>=\n]{0,80}?(?<!\s))>(?!=)")
_EMPHASIS = re.compile(r"(?<![\w)\]}*'])\*([A-Za-z](?:[^*\n]{0,40}[A-Za-z])?)\*(?!\w)")
_SUBSCRIPT = re.compile(rf"\d+|[A-Za-z]{{1,2}}|min|max|star|{'|'.join(GREEK)}")
_INDEXED = re.compile(rf"([a-z]|{'|'.join(GREEK)})(\d{{1,2}})|([XE])(\d\d)")  # x1, gamma2, X11
_MATHS_AHEAD = re.compile(rf" (?:(?:{'|'.join(GREEK)})(?![A-Za-z0-9])|[A-Za-z][_^(]|[A-Za-z](?![\w']))|_")

_BESIDE = re.compile(r"\s*[=<>+*/^]| - | [A-Z]\^| [b-z](?=[,;)]|\s*[=<>+])")  # what follows the A of A A^T, A x = y, I - P


def parse(text: str, depth: int = 0) -> tuple[Node, ...]:
    """The nodes of a statement; joined, their texts hold every character that is not notation."""
    nodes: list[Node] = []
    at = 0
    while at < len(text):
        found, at = _next(text, at, nodes, depth)
        nodes += found
    return tuple(nodes)


def _next(text: str, at: int, before: list[Node], depth: int) -> tuple[list[Node], int]:
    """The next nodes of `text` from `at`, and where they end."""
    char = text[at]
    if char.isspace():
        return [Node("space", " ")], at + 1
    if depth < _DEPTH:
        for reader in (_quoted, _scripted, _bracketed):
            found = reader(text, at, before, depth)
            if found is not None:
                return found
    joined = at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_")
    if not joined and (word := _WORDS.match(text, at)):
        return [Node("word", word[0])], word.end()
    if char.isascii() and char.isalpha():
        return _identifier(text, at, joined, depth)
    if char.isascii() and char.isdigit():
        return _number(text, at)
    if char == "*":
        return [_star(text, at)], at + 1
    if char == "'" and at > 0 and text[at - 1].isalnum():
        return _prime(text, at, before)
    if char == "-" and not text.startswith(("->", "-+"), at):
        return [Node("sign", "minus") if _is_minus(text, at, before) else Node("mark", "-")], at + 1
    for written, name in SIGNS.items():
        if text.startswith(written, at):
            return [Node("sign", name)], at + len(written)
    return [Node("mark", char)], at + 1


def _prime(text: str, at: int, before: list[Node]) -> tuple[list[Node], int]:
    """SGD's, workers', but x' and l_i'."""
    if ending := re.compile(r"'(?:s|t|re|ll|ve|d|m)\b").match(text, at):
        return [Node("word", ending[0])], ending.end()
    if before[-1].kind in ("letter", "greek", "accent", "sub", "sup"):
        return [Node("sup", "'", (Node("sign", "prime"),))], at + 1
    return [Node("word", "'")], at + 1


def _quoted(text: str, at: int, before: list[Node], depth: int) -> tuple[list[Node], int] | None:
    """$LaTeX$, `code`, *emphasis*."""
    char = text[at]
    if char in "$`":
        end = text.find(char, at + 1)
        inside = text[at + 1 : end] if end > at + 1 else ""
        if inside.strip() and (char == "`" or latex_is_closed(inside)):
            return [Node("math" if char == "$" else "code", inside.strip())], end + 1
    if char == "*" and (found := _EMPHASIS.match(text, at)):
        return [Node("emphasis", inside=parse(found[1], depth + 1))], found.end()
    return None


def _scripted(text: str, at: int, before: list[Node], depth: int) -> tuple[list[Node], int] | None:
    """^..., **... and _{...}; `_t` after a letter is read with the letter."""
    power = text.startswith("**", at)
    if not power and text[at] not in "^_":
        return None
    if not before or before[-1].kind == "space":
        return None
    start = at + (2 if power else 1)
    kind = "sub" if text[at] == "_" else "sup"
    if start < len(text) and text[start] in "{(":
        end = _closing(text, start)
        if end is not None and end > start + 1:
            return [Node(kind, inside=parse(_sets(text[start + 1 : end]), depth + 1))], end + 1
    found = _SCRIPT.match(text, start)
    if found and (kind == "sup" or before[-1].kind in ("sign", "mark", "sup")):
        inside = (Node("sign", "star"),) if found[0] == "*" else parse(found[0], depth + 1)
        return [Node(kind, inside=inside)], found.end()
    return None


def _sets(text: str) -> str:
    return re.sub(r"\bin\b", "∈", text)


def _bracketed(text: str, at: int, before: list[Node], depth: int) -> tuple[list[Node], int] | None:
    """sqrt(...), <a, b>, and SymPy's Abs(...), Eq(a, b), Ne(a, b)."""
    if text[at] == "<" and (found := _ANGLE.match(text, at)):
        return [Node("angle", inside=parse(found[1], depth + 1))], found.end()
    name = re.compile(r"(?<![\w-])(?:sqrt|Abs|Eq|Ne)(?=\()").match(text, at)
    end = _closing(text, name.end()) if name else None
    if name is None or end is None or end == name.end() + 1:
        return None
    inner = text[name.end() + 1 : end]
    if name[0] in ("sqrt", "Abs"):
        return [Node("root" if name[0] == "sqrt" else "abs", inside=parse(inner, depth + 1))], end + 1
    middle = _comma(inner)
    if middle is None:
        return None
    relation = " = " if name[0] == "Eq" else " != "
    return list(parse(inner[:middle].strip() + relation + inner[middle + 1 :].strip(), depth + 1)), end + 1


def _closing(text: str, start: int) -> int | None:
    """Where the bracket at `start` is closed."""
    opens, closes = text[start], {"(": ")", "{": "}"}[text[start]]
    level = 0
    for i in range(start, len(text)):
        level += (text[i] == opens) - (text[i] == closes)
        if level == 0:
            return i
    return None


def _comma(text: str) -> int | None:
    """The first comma outside brackets."""
    level = 0
    for i, char in enumerate(text):
        level += (char in "([") - (char in ")]")
        if char == "," and level == 0:
            return i
    return None


def _identifier(text: str, at: int, joined: bool, depth: int) -> tuple[list[Node], int]:
    hyphened = None if joined else _HYPHENED.match(text, at)
    if hyphened and hyphened[1] not in GREEK:
        return [Node("word", hyphened[0])], hyphened.end()
    found = _NAME.match(text, at)
    assert found is not None
    name, end = found[0], found.end()
    if joined and text[at - 1].isalpha():  # the tail of a word with letters that are not ASCII
        return [Node("word", name)], end
    base, *subs = name.split("_")
    if len(subs) == 1 and _takes_subscript(base) and _SUBSCRIPT.fullmatch(subs[0]):
        if subs[0] == "star":
            return [_symbol(base), Node("sup", inside=(Node("sign", "star"),))], end
        return [_symbol(base), Node("sub", inside=parse(subs[0], depth + 1))], end
    if subs:
        return [Node("word", name)], end
    if name == "grad" and (ahead := re.compile(r" (?=[A-Za-z](?![A-Za-z']))").match(text, end)):
        return [Node("sign", "nabla")], ahead.end()
    if len(name) == 1 and name != "E" and not (name in NAMES and text[end : end + 1] in ("(", "_", "[")):
        return [_letter(text, at)], end
    return _name(text, name, end, joined, depth), end


def _name(text: str, name: str, end: int, joined: bool, depth: int) -> list[Node]:
    """A name without a subscript that may be a sign, a Greek letter, a function or an indexed letter; else a word."""
    if name == "sum" and _MATHS_AHEAD.match(text, end):
        return [Node("sign", "sum")]
    if name in GREEK or (name in NAMES and (name == "E" or text[end : end + 1] in ("(", "_", "["))):
        return [_symbol(name)]
    if name == "oo" or (name == "infinity" and depth > 0):
        return [Node("sign", "infinity")]
    if _ACCENTED.fullmatch(name) and (text[end : end + 1] == "_" or name.endswith(("bar", "tilde"))):
        return [_symbol(name)]
    indexed = None if joined else _INDEXED.fullmatch(name)
    if indexed:
        letter, index = (part for part in indexed.groups() if part)
        return [_symbol(letter), Node("sub", inside=(Node("number", index),))]
    return [Node("word", name)]


def _takes_subscript(base: str) -> bool:
    return len(base) == 1 or base in (*GREEK, *NAMES, "sum") or _ACCENTED.fullmatch(base) is not None


def _symbol(name: str) -> Node:
    if name in GREEK:
        return Node("greek", name)
    if name == "sum":
        return Node("sign", "sum")
    if accented := _ACCENTED.fullmatch(name):
        letter, accent = (part for part in accented.groups() if part)
        return Node("accent", "tilde" if accent == "t" else accent, (Node("letter", letter),))
    return Node("name" if name in NAMES else "letter", name)


def _letter(text: str, at: int) -> Node:
    """A letter by itself is a variable; `a`, `A`, `I` are words unless mathematics stands beside them."""
    before, after = text[:at].rstrip(), text[at + 1 :]
    beside = before[-1:] in tuple("=<>+*/|^") or after[:1] in tuple("_(|") or _BESIDE.match(after) is not None
    return Node("word" if text[at] in "aAI" and not beside else "letter", text[at])


def _number(text: str, at: int) -> tuple[list[Node], int]:
    times = re.compile(r"(\d+)( ?)x\2(\d+)(?![\w])").match(text, at)
    if times:
        return [Node("word", f"{times[1]}{times[2]}×{times[2]}{times[3]}")], times.end()
    found = _NUMBER.match(text, at)
    assert found is not None
    if found[2] is None or len(found[2]) > 9:
        return [Node("number", found[1])], found.end(1)
    power = int(found[2])
    exponent = [Node("sign", "minus")] if power < 0 else []
    ten = [Node("number", "10"), Node("sup", inside=(*exponent, Node("number", str(abs(power)))))]
    mantissa = [] if found[1] == "1" else [Node("number", found[1]), Node("sign", "cdot")]
    return mantissa + ten, found.end()


def _star(text: str, at: int) -> Node:
    """x* is an optimum, 4*x and 4 * x are products."""
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if before.isalnum() or before in tuple(")]}"):
        if after.isalnum() or after in ("(", "[") or (after == "|" and before.isdigit()):
            return Node("sign", "cdot")
        if before.isalnum() and after != "*":
            return Node("sup", "*", (Node("sign", "star"),))
    return Node("sign", "cdot") if before == " " and after == " " and text[:at].strip() else Node("mark", "*")


def _is_minus(text: str, at: int, before: list[Node]) -> bool:
    """A hyphen joins words; a minus stands before a number, a symbol or a bracket, or between spaces."""
    after = text[at + 1 : at + 2]
    last = before[-1] if before else Node("space")
    if not after or after == "-" or last.text == "-":
        return False
    if after.isspace():
        return last.kind == "space" and len(before) > 1
    if last.kind in ("word", "emphasis", "code"):
        return False
    if not (after.isascii() and after.isalpha()):
        return after.isdigit() or after in "([|.<"
    found = _NAME.match(text, at + 1)
    base = found[0].split("_")[0] if found else ""
    return len(base) == 1 or base in GREEK or base in NAMES or base in ("sqrt", "sum") or bool(re.fullmatch(r"[a-z]\d", base))


def latex_is_closed(source: str) -> bool:
    """True if the braces of a piece of LaTeX are balanced and it ends no group of ours."""
    level, skip = 0, False
    for char in source:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char in "{}":
            level += 1 if char == "{" else -1
            if level < 0:
                return False
        elif char in "$%" or ord(char) < 32:
            return False
    return level == 0 and not skip


def to_html(text: str) -> str:
    """The statement as HTML: every character of the source is escaped, every tag is ours."""
    from efcheck._typeset_html import write

    return write(parse(text))


def to_latex(text: str) -> str:
    """The statement as LaTeX for running text: amsmath is enough, braces and dollars balance."""
    from efcheck._typeset_latex import write

    return write(parse(text))
