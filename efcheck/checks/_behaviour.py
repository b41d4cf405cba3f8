"""What a call depends on: its own vector, its own generator, and nothing that was called before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._compare import TOO_SLOW, affordable, close, close_code, error, law_code, same_law
from efcheck.checks._globals import global_seed
from efcheck.checks._inputs import Input
from efcheck.checks._subject import Subject
from efcheck.checks.report import Result, calling, failed, passed, skipped

_ROW_SCALES = (1e-3, 1.0, 1.0, 1e3)
_EQUAL = "np.allclose({0}, {1}, rtol=1e-3, atol=1e-6 * np.abs({0}).max())"  # of equal calls; threads may add in any order
SYMMETRIES = ("scale", "permutation", "sign")


def batch(s: Subject) -> Result:
    """Each vector on the last axis is compressed by itself, whatever stands beside it."""
    tried = 0
    for d in s.few:
        rows = [s.generic(d, i).times(scale) for i, scale in enumerate(_ROW_SCALES)]
        stack, alone = Input(f"np.stack([{', '.join(row.code for row in rows)}])"), list[Array]()
        for shape in ((4, d), (2, 2, d)):
            one = Input(f"{stack.code}.reshape{shape}").typed(s.dtype)
            s.renew()
            try:
                out = s.raw(s.object(), s.given(one.value.copy()), s.rng(0))
            except Exception as raised:
                if tried:
                    return passed(f"shape {shape} refused: {type(raised).__name__}", count=tried)
                return skipped(f"takes single vectors only: {type(raised).__name__} on shape {shape}")
            body = f"batch = {s.call()}.reshape(4, {d})\nalone = np.stack([{s.call(v='row')} for row in v.reshape(4, {d})])\n"
            body += f"print(batch, alone, sep='\\n')\nassert {close_code(s, d, 'batch', 'alone', f'v.reshape(4, {d})')}"
            with calling(f"v = {one.code}", s.snippet(one, body)):
                got = s.taken(out, one.value.shape).reshape(4, d)
            tried += 1
            alone = alone or _alone(s, one.value.reshape(4, d))
            if (i := _other_row(s, one.value, got, alone)) is not None:
                if s.random and not s.stateful and s.rng(0) is not None:
                    body = f"u = v[{i}]\n" + law_code(s, f"{s.call(rng='one')}[{i}]", s.call(rng="two", v="u"))
                return failed(f"row {i} of shape {shape} is not compressed as it is alone", s.snippet(one, body), count=tried)
    slow = s.random and not all(affordable(s, d) for d in s.dims if d <= 64)
    return passed(TOO_SLOW if slow else "", count=tried)


def _alone(s: Subject, rows: Array) -> list[Array]:
    """The rows one by one, a random compressor with one generator for all, as in a batch."""
    stream = s.rng(0)
    return [s(row, stream if s.random else s.rng(0)) for row in rows]


def _other_row(s: Subject, v: Array, got: Array, alone: list[Array]) -> int | None:
    """The first row of the batch that is compressed otherwise than alone."""
    rows = v.reshape(got.shape)
    wrong = [i for i in range(4) if not close(s, got[i], alone[i], rows[i])]
    if not wrong or not s.random or _state_alone(s, rows[0]):
        return wrong[0] if wrong else None
    if v.ndim > 2 or rows[0].size > 64 or not affordable(s, rows[0].size):
        return None  # the laws are compared where it is cheap
    batches, singles = s.rng(1), s.rng(2)
    for i in (0, 3):  # the smallest and the largest row

        def beside(_: int, i: int = i) -> tuple[float, ...]:
            return _measures(rows[i], s(v, batches)[i])

        def by_itself(_: int, i: int = i) -> tuple[float, ...]:
            return _measures(rows[i], s(rows[i], singles))

        if not same_law(beside, by_itself):
            return i
    return None


def _measures(v: Array, out: Array) -> tuple[float, float]:
    """How well `out` compresses v, and its component along a fixed direction."""
    size = float(np.linalg.norm(v)) or 1.0
    weights = np.cos(np.arange(1.0, v.size + 1))
    return error(v, out), float(weights @ out / size)


def stateless(s: Subject) -> Result:
    """Equal calls give equal results, whatever was called before them."""
    if s.stateful:
        return skipped("it declares a state (stateful = True); each check calls a fresh copy")
    tried = 0
    for d in s.few:
        one, other = s.generic(d, 3), s.generic(d, 4)
        body = f"import copy\n\nfresh, other = copy.deepcopy(c), {other.code}\n"
        often = max(1, 16 // s.prices.pace(d))
        body += f"for u in {often} * (10 * v + 1, other, 10 * other, 0 * v):\n    out = {s.call(1, v='u')}\n\n"
        body += f"after = {s.call()}\nc = fresh\nfirst = {s.call()}\nagain = {s.call()}\n"
        body += "".join(f"assert {_EQUAL.format('first', x)}, (first, {x})\n" for x in ("again", "after"))
        with calling(f"v = {one.code}", s.snippet(one, body)):
            used, fresh = s.fresh(), s.fresh()
            for v in often * (10 * one.value + 1, other.value, 10 * other.value, 0 * one.value):
                _seeded(s, used, v, seed=1)
            after = _seeded(s, used, one.value)
            outs = [_seeded(s, fresh, one.value), _seeded(s, fresh, one.value), after]
        tried += 1
        same = all(eval(_EQUAL.format("a", "b"), {"np": np, "a": outs[0], "b": out}) for out in outs[1:])
        if same or _hidden_entropy(s, one.value):  # of which `randomness` tells
            continue
        detail = f"equal calls on v = {one.code} differ: a state, or a hidden source of randomness"
        return failed(detail, s.snippet(one, body), count=tried)
    return passed(count=tried)


def _seeded(s: Subject, c: Any, v: Array, seed: int = 0) -> Array:
    with global_seed(seed):
        return s.taken(s.raw(c, s.given(v.copy()), s.rng(seed)), v.shape)


def _hidden_entropy(s: Subject, v: Array) -> bool:
    """Copies in the same state, or for functions calls that are handed a generator, differ: it draws from elsewhere."""
    if s.fresh() is s.pristine and s.rng(0) is None:
        return False
    outs = [_seeded(s, s.fresh(), v) for _ in range(4 if s.prices.pace(v.size) == 1 else 2)]
    return any(not np.array_equal(outs[0], out, equal_nan=True) for out in outs[1:])


def _state_alone(s: Subject, v: Array) -> bool:
    """It takes no generator, and copies in the same state agree: equal calls differ by its state, not by chance."""
    return s.rng(0) is None and s.fresh() is not s.pristine and not _hidden_entropy(s, v)


def randomness(s: Subject) -> Result:
    """Randomness comes from `rng` alone: generators in the same state give the same result, global ones are not touched."""
    tried = 0
    for d in sorted(s.few, reverse=True):  # few entries may agree by chance
        for one in (s.generic(d, 1), Input(f"np.ones({d})").typed(s.dtype)):
            tried += 1
            with calling(f"v = {one.code}", s.snippet(one, s.call())):
                used = s.watched(one.value, 0).drew_global
            if used:
                return failed(f"uses a global generator at d = {d}", _global_code(s, one), count=tried)
            body = f"first, again = {s.call()}, {s.call()}\nassert np.array_equal(first, again), (first, again)"
            if s.random and _hidden_entropy(s, one.value):
                detail = f"generators in the same state give different results on v = {one.code}"
                return failed(detail, s.snippet(one, body), count=tried)
    return passed("" if s.random else "it draws nothing", count=tried)


def _global_code(s: Subject, one: Input) -> str:
    body = "import random\n\ndef states():\n    out = [random.getstate(), str(np.random.get_state())]\n"
    body += f"    {'out.append(torch.get_rng_state().tolist())' if s.kind == 'torch' else 'pass'}\n    return out\n\n"
    return s.snippet(one, f"{body}before = states()\n{s.call()}\nassert states() == before, 'a global generator was used'")


def symmetry(s: Subject, name: str) -> Result:
    """C(t v) = t C(v), C(P v) = P C(v) or C(-v) = -C(v), where the object says so in `equivariant`."""
    declared = getattr(s.c, "equivariant", ())
    declared = (declared,) if isinstance(declared, str) else tuple(declared)
    if name not in declared:
        return skipped(f"{name!r} is not in `equivariant`")
    tried = 0
    dims = [d for d in s.dims if not s.random or affordable(s, d)]
    if not dims:
        return skipped(TOO_SLOW)
    for d in dims:
        for image, back in _images(name, d):
            s.renew()
            one = s.generic(d)
            moved = Input(image.replace("v", f"({one.code})")).typed(s.dtype)
            place = back.replace("out", s.call())
            body = f"u = {image}\nout, moved = {s.call()}, {s.call(v='u')}\nimage = {back}\n"
            body += f"print(image, moved, sep='\\n')\nassert {close_code(s, d, 'image', 'moved', 'u')}"
            with calling(f"v = {one.code}", s.snippet(one, body)):
                if not _same_image(s, one.value, moved.value, partial(_text_of, back)):
                    if s.random and not s.stateful and s.rng(0) is not None:
                        image_of = back.replace("out", s.call(rng="one"))
                        body = f"u = np.ascontiguousarray({image})\n" + law_code(s, image_of, s.call(rng="two", v="u"))
                    return failed(f"C({image}) is not {place} at v = {one.code}", s.snippet(one, body), count=tried + 1)
            tried += 1
    return passed(TOO_SLOW if len(dims) < len(s.dims) else "", count=tried)


def _text_of(code: str, out: Array) -> Array:
    found: Array = eval(code, {"np": np, "out": out})
    return found


def _images(name: str, d: int) -> list[tuple[str, str]]:
    """(text of the moved input, text of the moved output)."""
    if name == "scale":
        return [(f"{t} * v", f"{t} * out") for t in (0.5, 1e-3, 3e3)]
    if name == "sign":
        return [("-1.0 * v", "-1.0 * out")]
    order = f"np.random.default_rng({d}).permutation({d})"
    return [("v[::-1]", "out[::-1]"), (f"v[{order}]", f"out[{order}]")]


def _same_image(s: Subject, v: Array, u: Array, back: Callable[[Array], Array]) -> bool:
    if close(s, back(s(v, s.rng(0))), s(np.ascontiguousarray(u), s.rng(0)), u):
        return True
    if not s.random:
        return False
    u = np.ascontiguousarray(u)
    one, two = s.rng(1), s.rng(2)
    return same_law(lambda _: _measures(u, back(s(v, one))), lambda _: _measures(u, s(u, two)))
