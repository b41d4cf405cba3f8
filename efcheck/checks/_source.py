"""How a snippet names the object under test: an import where there is one that gives an equal object, else a placeholder."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

PLACEHOLDER = "# c is the object that was checked, {}: it has no importable name, so define it first"


def source_of(c: Any) -> str:
    """Lines that define `c` in a fresh prompt, or a comment that says what to define.

    >>> from efcheck.compressors import TopK
    >>> print(source_of(TopK(2)))
    from efcheck.compressors.topk import TopK
    c = TopK(k=2)
    """
    return _named(c) or _written(c) or PLACEHOLDER.format(_short(c))


def subject_of(c: Any) -> str:
    """A short name for the title of a report."""
    name = getattr(c, "__qualname__", None)
    return str(name) if isinstance(name, str) else _short(c)


def _short(c: Any) -> str:
    text = getattr(c, "__qualname__", None) or repr(c)
    if " at 0x" in text:  # an address: another one in the next run
        return f"{type(c).__module__}:{type(c).__qualname__}"
    return text if len(text) <= 60 and "\n" not in text else f"{type(c).__name__} object"


def _named(c: Any) -> str | None:
    """`from module import name as c` for a function, class or module-level object."""
    home = getattr(c, "__module__", None)
    for module in dict.fromkeys((home, type(c).__module__)):
        if not isinstance(module, str) or module in ("__main__", "builtins") or module not in sys.modules:
            continue
        for name, value in list(vars(sys.modules[module]).items()):
            if value is c and name.isidentifier() and not name.startswith("__"):
                return f"from {module} import {name} as c"
    return None


def _written(c: Any) -> str | None:
    """`c = <repr>` where the repr calls importable classes and gives an object of the same repr, or `c = Class()`."""
    for text in (repr(c), f"{type(c).__name__}()"):
        names = sorted({name for name in re.findall(r"\b([A-Za-z_]\w*)\(", text)})
        scope: dict[str, Any] = {}
        lines = []
        for name in names:
            found = _find(name, c)
            if found is not None:
                scope[name] = found
                lines.append(f"from {found.__module__} import {name}")
        with contextlib.suppress(Exception):
            again = eval(text, {"__builtins__": {}}, scope)
            plain = {k: repr(v) for k, v in vars(again).items()} == {k: repr(v) for k, v in vars(c).items()}
            if type(again) is type(c) and plain:
                return "\n".join([*lines, f"c = {text}"])
    return None


def _find(name: str, c: Any) -> Any:
    """The class `name` among those of `c` and of its parts, where its module has it under that name; else None."""
    parts, todo = [c], [c]
    for _ in range(3):
        todo = [part for one in todo for value in getattr(one, "__dict__", {}).values() for part in _items(value)]
        parts += todo
    for part in parts:
        kind = type(part)
        if kind.__module__ not in ("__main__", "builtins") and getattr(sys.modules.get(kind.__module__), name, None) is kind:
            return kind
    return None


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
