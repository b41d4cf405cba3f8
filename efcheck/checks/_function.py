"""What any compressor is as a function: every size, same shape and dtype, finite to finite, zero to zero, input untouched."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._compare import close, close_code
from efcheck.checks._inputs import SCALES, Input, listed
from efcheck.checks._subject import Subject, refused
from efcheck.checks._wire import sends, sent, sent_code
from efcheck.checks.report import Result, calling, failed, passed, skipped

_HALF_ROOM = 20_000.0  # a float16 ends at 65504; what float32 gives below this is far from it


def sizes(s: Subject) -> Result:
    """Every d of dims works, or is refused by an error raised on purpose."""
    for d, raised in s.broken.items():
        return failed(f"d = {d}: {raised}{s.hint}", raised.reproduce, count=len(s.wanted))
    asked = {d: why for d, why in s.refused.items() if d in s.asked}
    if not s.dims:
        d, why = next(iter(asked.items()))
        one = s.generic(d)
        return failed(f"accepts none of d = {_list(s.asked)}: {why}{s.hint}", s.snippet(one, s.call()), count=len(s.wanted))
    note = f"; refuses d = {_list(asked)}: {next(iter(asked.values()))}" if asked else ""
    return passed(f"d = {_list(s.accepted)}{note}", count=len(s.wanted))


def empty(s: Subject) -> Result:
    """The empty vector gives the empty vector, or an error."""
    one = listed([]).typed(s.dtype)
    try:
        out = s.raw(s.object(), s.given(one.value.copy()), s.rng(0))
    except Exception as error:
        return passed(f"refused: {type(error).__name__}", count=1)
    shape = tuple(getattr(out, "shape", (None,)))
    if shape != (0,):
        return failed(f"an empty vector gives shape {shape}", s.snippet(one, f"assert {s.call()}.shape == (0,)"), count=1)
    return passed(count=1)


def dtype(s: Subject) -> Result:
    """float32 in, float32 out; float64 in, float64 out; array in, array out; tensor in, tensor out."""
    tried, notes = 0, []
    for name in ("float64", "float32"):
        for d in s.dims:
            one = s.generic(d).typed("float32") if name == "float32" and s.dtype != "float32" else s.generic(d)
            one = Input(f"({one.code}).astype(np.float64)") if name == "float64" and s.dtype == "float32" else one
            try:
                out = s.raw(s.object(), s.given(one.value.copy()), s.rng(0))
            except Exception as error:
                notes.append(f"{name} refused: {type(error).__name__}")
                break
            tried += 1
            kind = str(getattr(out, "dtype", type(out).__name__)).removeprefix("torch.")
            wanted = np.ndarray if s.kind == "numpy" else sys.modules["torch"].Tensor
            if kind != name or not isinstance(out, wanted):
                call = s.call().removesuffix(".detach().numpy()")
                want = f"np.{name}" if s.kind == "numpy" else f"torch.{name}"
                return failed(f"{name} gives {kind} at d = {d}", s.snippet(one, f"assert {call}.dtype == {want}"), count=tried)
    return passed("; ".join(notes), count=tried)


def input_kept(s: Subject) -> Result:
    """The input is read, never written."""
    tried = 0
    for d in s.dims:
        for one in [*s.inputs(d), Input(f"np.zeros({d})").typed(s.dtype)]:
            kept = one.value.copy()
            with calling(f"v = {one.code}", s.snippet(one, s.call())):
                s.raw(s.object(), s.given(kept), s.rng(0))
            tried += 1
            if not np.array_equal(kept, one.value):
                i = int(np.flatnonzero(kept != one.value)[:1].sum())
                body = f"kept = v.copy()\nout = {s.call()}\nassert np.array_equal(v, kept), v"
                return failed(
                    f"writes into its input: entry {i} was {one.value[i]:.6g}, is {kept[i]:.6g}",
                    s.snippet(one, body),
                    count=tried,
                )
    return passed(count=tried)


def no_alias(s: Subject) -> Result:
    """The output is new memory: neither the input's, nor one that the next call writes to."""
    tried = 0
    for d in s.few:
        for one in [*s.inputs(d)[:8], s.generic(d), Input(f"np.zeros({d})").typed(s.dtype)]:
            value, c = s.given(one.value.copy()), s.object()
            with calling(f"v = {one.code}", s.snippet(one, s.call())):
                out = s.raw(c, value, s.rng(0))
                tried += 1
                if _shares(s, out, value):
                    body = f"assert not np.shares_memory({s.call()}, v)"
                    return failed(f"returns its input's memory at v = {one.code}", s.snippet(one, body), count=tried)
                before = s.taken(out, one.value.shape)
                s.raw(c, s.given(-2 * one.value - 1), s.rng(1))
                after = s.taken(out, one.value.shape)
            if not np.array_equal(before, after, equal_nan=True):
                body = f"first = {s.call()}\nkept = first.copy()\n{s.call(1, v='(-2 * v - 1)')}\n"
                body += "assert np.array_equal(first, kept), first"
                return failed(f"the next call changes an earlier output, of v = {one.code}", s.snippet(one, body), count=tried)
    return passed(count=tried)


def _shares(s: Subject, out: Any, value: Any) -> bool:
    if s.kind == "numpy":
        return bool(np.shares_memory(out, value))
    return bool(out.untyped_storage().data_ptr() == value.untyped_storage().data_ptr())


def zero(s: Subject) -> Result:
    """C(0) = 0, exactly."""
    seeds = range(3 if s.random else 1)
    tried = 0
    for d in s.dims:
        one = Input(f"np.zeros({d})").typed(s.dtype)
        for seed in seeds[:1] if s.prices.dear(d) else seeds:
            tried += 1
            out = s.on(one, seed)
            if out.any():
                bad = float(out[np.flatnonzero(out)[0]])
                body = f"out = {s.call(seed)}\nassert not out.any(), out"
                return failed(f"C(0) has an entry {bad:.6g} at d = {d}", s.snippet(one, body), number=bad, bound=0.0, count=1)
    return passed(count=tried)


def finite(s: Subject) -> Result:
    """Finite input, of any size, gives finite output."""
    tried = 0
    for scale in SCALES[s.dtype]:
        for d in s.few:
            for one in s.inputs(d):
                one = Input(one.code).times(scale).typed(s.dtype)
                if not np.isfinite(one.value).all() or np.abs(one.value).max() > 10 * max(scale, 1e100):
                    continue  # squares of 1e150 are numbers, those of 1e155 are not
                out = s.on(one)
                tried += 1
                if not np.isfinite(out).all():
                    bad = out[~np.isfinite(out)][0]
                    body = f"out = {s.call()}\nassert np.isfinite(out).all(), out"
                    return failed(
                        f"C(v) has an entry {bad} at v = {one.code}{s.precision_note(one.value)}",
                        s.snippet(one, body),
                        count=tried,
                    )
    return passed(f"scales {', '.join(f'{x:g}' for x in SCALES[s.dtype])}", count=tried)


def nonfinite(s: Subject) -> Result:
    """NaN and infinity raise or propagate, in C(v) and in the message; they never become finite numbers without a word.

    An entry that is not sent whatever it is (a random mask) may be lost; one that a finite value would have had sent may not.
    """
    tried = 0
    ways = (False, True) if sends(s) else (False,)
    for d in (d for d in s.dims if d in s.asked):
        places = dict.fromkeys([("np.nan", 0), ("np.nan", d // 2), ("np.nan", d - 1), ("np.inf", d // 2), ("-np.inf", d - 1)])
        for bad, i in places:
            tried += 1
            for wire in ways:
                if found := _swallowed(s, d, bad, i, wire):
                    return failed(found[0], found[1], count=tried)
    return passed(count=tried)


def _swallowed(s: Subject, d: int, bad: str, i: int, wire: bool) -> tuple[str, str] | None:
    """What became finite without a word, and its snippet; `wire`: after encode and decode."""

    def call(one: Input, seed: int) -> Array:
        return sent(s, one, seed) if wire else s(one.value, s.rng(seed))

    base = f"np.linspace(1.0, 2.0, {d})"
    one, twin = (Input(f"np.where(np.arange({d}) == {i}, {x}, {base})").typed(s.dtype) for x in (bad, "10.0"))
    silent, number, always = -1, False, True
    for seed in range(max(24 // s.prices.stride(d), 3) if s.random else 1):
        try:
            out = call(one, seed)
            finite = call(twin, seed)
        except Exception:
            return None
        if np.isfinite(out).all():
            silent = seed
            if number := bool(out[i] != 0):
                break
        always = always and bool(finite[i] != 0)
    if silent < 0 or not (number or always):
        return None
    body = f"out = {sent_code(s, d, silent) if wire else s.call(silent)}\nassert not np.isfinite(out).all(), out"
    where = "a finite message" if wire else "finite output"
    return f"{bad.replace('np.', '')} at entry {i} of {d} gives {where}", s.snippet(one, body)


def half(s: Subject) -> Result:
    """float16 and bfloat16: kept as dtype, and finite wherever the float32 result is far inside their range."""
    notes, tried = [], 0
    for name in ("float16",) if s.kind == "numpy" else ("float16", "bfloat16"):
        for d in s.few:
            for scale in (300.0, 3e-4):
                one = Input(f"{scale} * np.resize([1.0, -1.0], {d}) * np.linspace(1.0, 1.25, {d})").typed("float32")
                outs = _in_half(s, one.value, name)
                if isinstance(outs, str):
                    notes.append(f"{name} {outs}")
                    break
                tried += 1
                narrow, wide = outs
                if np.abs(wide).max() < _HALF_ROOM and not _sound(s, narrow, wide):
                    return failed(
                        f"{name} gives {narrow[0]} where float32 gives {wide[0]:.6g}, v = {one.code}",
                        _half_code(s, one, name),
                        count=tried,
                    )
            else:
                continue
            break
    return passed("; ".join(notes), count=tried) if tried else skipped("; ".join(notes) or "no d to test")


def _sound(s: Subject, narrow: Array, wide: Array) -> bool:
    """Finite, and not zero where float32 is not; random ones may differ in what they send."""
    return bool(np.isfinite(narrow).all()) and (s.random or bool(narrow.any()) or not wide.any())


def _in_half(s: Subject, v: Array, name: str) -> tuple[Array, Array] | str:
    """Outputs in half precision and in float32 on the same numbers, or why there is none."""
    torch = sys.modules.get("torch")
    kind = getattr(np if s.kind == "numpy" else torch, name)
    small: Any = v.astype(kind) if s.kind == "numpy" else s.given(v).to(kind)
    try:
        out = s.raw(s.object(), small, s.rng(0))
        if getattr(out, "dtype", None) != kind:
            return f"becomes {str(getattr(out, 'dtype', type(out).__name__)).removeprefix('torch.')}"
        large = s.taken(s.raw(s.object(), s.given(v.copy()), s.rng(0)), v.shape)
        return s.taken(out, v.shape), large
    except Exception as error:
        return f"refused: {type(error).__name__}"


def _half_code(s: Subject, one: Input, name: str) -> str:
    if s.kind == "numpy":
        return s.snippet(one, f"out = {s.call(v=f'v.astype(np.{name})')}\nassert np.isfinite(out).all() and out.any(), out")
    call = s.call().replace("torch.from_numpy(v)", f"torch.from_numpy(v).to(torch.{name})").removesuffix(".detach().numpy()")
    return s.snippet(one, f"out = {call}\nassert out.isfinite().all() and out.any(), out")


def layout(s: Subject) -> Result:
    """A vector that is not contiguous in memory, and a matrix stored by columns, are compressed as their copies are.

    Code that needs them contiguous may refuse them.
    """
    tried = 0
    for d in s.dims:
        one = s.generic(d)
        body = f"wide = np.zeros(2 * {d}, dtype=v.dtype)\nwide[::2] = v\nstrided = wide[::2]\n"
        body += f"out, alone = {s.call(v='strided')}, {s.call()}\nassert {close_code(s, d, 'out', 'alone')}"
        with calling(f"a strided view of v = {one.code}", s.snippet(one, body)):
            try:
                raw = s.raw(s.object(), s.given(_strided(one.value)), s.rng(0))
            except Exception as error:
                if refused(error):
                    return passed(f"a strided view is refused: {type(error).__name__}", count=tried + 1)
                raise
            out = s.taken(raw, one.value.shape)
        tried += 1
        again = s.on(one)
        steady = all(np.array_equal(again, s.on(one)) for _ in range(8 if s.random and s.rng(0) is None else 1))
        if steady and not close(s, out, again, one.value):
            return failed(f"a strided view of v = {one.code} gives another result than v", s.snippet(one, body), count=tried)
        if not s.random and (body := _by_columns(s, d)):
            detail = f"three vectors of d = {d} stored by columns are not compressed as when stored by rows"
            return failed(detail, body, count=tried)
    return passed(count=tried)


def _strided(v: Array) -> Array:
    wide = np.zeros(2 * v.size, dtype=v.dtype)
    wide[::2] = v
    return wide[::2]


def _by_columns(s: Subject, d: int) -> str:
    """What shows that a batch depends on the order of its entries in memory; "" where it does not, or none is taken."""
    rows = Input(f"np.random.default_rng({s.seed}).standard_normal((3, {d}))").typed(s.dtype)
    columns = np.asfortranarray(rows.value)
    try:
        outs = [s.taken(s.raw(s.object(), s.given(v), s.rng(0)), (3, d)) for v in (rows.value.copy(), columns)]
    except Exception:
        return ""  # it takes single vectors, or rows, only
    if all(close(s, *pair) for pair in zip(*outs, rows.value, strict=True)):
        return ""
    body = f"out, other = {s.call()}, {s.call(v='np.asfortranarray(v)')}\nassert {close_code(s, d, 'out', 'other')}"
    return s.snippet(rows, body)


def _list(dims: Any) -> str:
    return ", ".join(str(d) for d in dims)
