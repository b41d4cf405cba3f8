"""The message: encode and decode agree with the dense form, its length is what `bits` says, and it is really smaller.

Where there is no `encode`, `bits` can still be refuted by counting. Let A be a set of inputs and g any fixed map; if
g(C(a)) = a for all a in A then C takes at least |A| values on A, so that bits >= log2 |A|. With fewer, at most the share
2^bits / |A| of A is recovered: a sample of 40 that is recovered whole has a chance below 2^-40 once |A| > 2^(bits + 1).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._inputs import Input
from efcheck.checks._subject import Subject, refused, rng_name
from efcheck.checks.report import Result, calling, failed, passed, skipped

_SAMPLE = 40
_CLOSE = 2e-6  # of the largest entry: numbers on the wire are float32


def encode(s: Subject) -> Result:
    """decode(encode(v), d) is C(v): generators in the same state, float32 on the wire."""
    if not sends(s):
        return skipped("no encode and decode(payload, d)")
    tried, why = 0, ""
    for d in s.dims:
        for one in _messages(s, d):
            payload = _encoded(s, one)
            if isinstance(payload, str):
                why = payload
                continue
            body = f"out = {s.call()}\nsent = np.asarray(c.decode({_encode_code(s)}, {d}))\n"
            body += "print(out, sent, sep='\\n')\n"
            body += f"assert sent.shape == out.shape and np.abs(sent - out).max() <= {_CLOSE} * np.abs(out).max()"
            with calling(f"v = {one.code}", s.snippet(one, body)):
                sent = np.asarray(s.c.decode(payload, d), dtype=np.float64)
            out = s.on(one)
            tried += 1
            top = float(np.abs(out).max())
            if sent.shape != out.shape:
                return failed(f"decode gives shape {sent.shape} at d = {d}", s.snippet(one, body), count=tried)
            gap = float(np.abs(sent - out).max())
            if not gap <= _CLOSE * top:
                i = int(np.argmax(np.abs(sent - out)))
                detail = f"decoded entry {i} is {sent[i]:.6g}, C(v) has {out[i]:.6g}, v = {one.code}"
                return failed(detail, s.snippet(one, body), number=gap, bound=_CLOSE * top, count=tried)
    return passed(count=tried) if tried else skipped(f"encode refuses every input: {why}")


def bits(s: Subject) -> Result:
    """A message has ceil(bits(d) / 8) bytes; without encode, C takes no more values than 2^bits."""
    if not s.claims("bits"):
        return skipped("no bits")
    tried = 0
    for d in s.dims:
        with calling(f"d = {d}", s.snippet(None, f"print(c.bits({d}))")):
            said = s.bits(d)
        if said is None:
            continue
        if said < 0:
            return failed(f"bits({d}) = {said:g}", s.snippet(None, f"assert c.bits({d}) >= 0"), number=said, bound=0.0, count=1)
        found = _measured(s, d, said) if _encodes(s) else _counted(s, d, said)
        tried += 1
        if found is not None:
            return found
    return passed(count=tried) if tried else skipped("no bits")


def smaller(s: Subject) -> Result:
    """At the largest d a message is smaller than d float32 numbers, unless nothing is lost (delta = 1)."""
    large = [d for d in s.dims if d >= 100]
    if not large:
        return skipped("no d >= 100 to test in: headers weigh too much below")
    d = max(large)
    if _encodes(s):
        payload = _encoded(s, s.generic(d))
        if isinstance(payload, str):
            return skipped(f"encode refuses: {payload}")
        size, code = 8 * len(_raw(payload)), f"8 * len({_encode_code(s)})"
    elif s.claims("bits"):
        size, code = int(s.bits(d) or 0), f"c.bits({d})"
    else:
        return skipped("no encode and no bits")
    if s.delta(d) == 1:
        return skipped("delta = 1: it claims no compression")
    if size >= 32 * d:
        body = f"assert {code} < 32 * {d}, {code}"
        return failed(
            f"{size} bits at d = {d}, {size / (32 * d):.3g} times float32",
            s.snippet(s.generic(d), body),
            number=size,
            bound=32.0 * d,
            count=1,
        )
    return passed(
        f"{32 * d / max(size, 1):.4g} times smaller than float32 at d = {d}", number=float(size), bound=32.0 * d, count=1
    )


def _encodes(s: Subject) -> bool:
    """Whether `encode` makes messages: one beside a decode of other arguments, as an autoencoder's, does not."""
    if not s.claims("encode") or not s.claims("decode"):
        return s.claims("encode")
    try:
        inspect.signature(s.c.decode).bind(b"", 1)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def sends(s: Subject) -> bool:
    """Whether there are encode(v) and decode(payload, d)."""
    return s.claims("decode") and _encodes(s)


def sent(s: Subject, one: Input, seed: int = 0) -> Array:
    """What is decoded from the message; whatever is raised is raised."""
    return np.asarray(s.c.decode(_call_encode(s, one.value, s.rng(seed)), one.d), dtype=np.float64)


def sent_code(s: Subject, d: int, seed: int = 0) -> str:
    return f"np.asarray(c.decode({_encode_code(s, seed)}, {d}))"


def _messages(s: Subject, d: int) -> list[Input]:
    """Inputs whose message fits float32: generic ones, ties, zeros."""
    extra = [Input(f"np.resize([1.0, 0.0, -1.0], {d})"), Input(f"np.zeros({d})"), Input(f"np.resize([0.0, 2.0], {d})")]
    return [s.generic(d, 6), *s.inputs(d), *(one.typed(s.dtype) for one in extra)]


def _encoded(s: Subject, one: Input) -> Any:
    """The message, or the words of a refusal; other errors are the check's failure."""
    try:
        return _call_encode(s, one.value, s.rng(0))
    except Exception as error:
        if refused(error):
            return f"{type(error).__name__}: {error}"
        with calling(f"v = {one.code}", s.snippet(one, _encode_code(s))):
            raise


def _call_encode(s: Subject, v: Array, rng: Any) -> Any:
    name = _encode_rng(s)
    return s.c.encode(s.given(v.copy()), **({} if name is None else {name: rng}))


def _encode_rng(s: Subject) -> str | None:
    return None if s.rng(0) is None else rng_name(s.c.encode)


def _encode_code(s: Subject, seed: int = 0) -> str:
    v = "v" if s.kind == "numpy" else "torch.from_numpy(v)"
    name = _encode_rng(s)
    return f"c.encode({v})" if name is None else f"c.encode({v}, {name}={s.generator(seed)})"


def _raw(payload: Any) -> bytes:
    """The bytes of a message: bytes, or an array or tensor of any dtype."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    if hasattr(payload, "numpy"):
        payload = payload.detach().cpu().numpy()
    return np.asarray(payload).tobytes()


def _measured(s: Subject, d: int, said: float) -> Result | None:
    for one in _messages(s, d):
        payload = _encoded(s, one)
        if isinstance(payload, str):
            continue
        size = len(_raw(payload))
        if size != math.ceil(said / 8):
            body = f"sent = {_encode_code(s)}\nassert len(sent) == -(-c.bits({d}) // 8), (len(sent), c.bits({d}))"
            detail = f"a message of {size} bytes where bits({d}) = {said:g}, v = {one.code}"
            return failed(detail, s.snippet(one, body), number=8.0 * size, bound=said, count=1)
    return None


Draw = Callable[[np.random.Generator], Array]


def _counted(s: Subject, d: int, said: float) -> Result | None:
    """Fewer bits than the values that C takes, a random one with its generator in one state, which both sides may know."""
    if s.random and s.rng(0) is None:
        return None  # its draws cannot be had again
    kept = int((s.on(s.generic(d, 6)) != 0).sum())
    for name, logarithm, make, read in _alphabets(d, kept):
        if logarithm <= said + 1:
            continue
        one = Input("")
        for seed in range(_SAMPLE):
            one = Input(make.replace("SEED", str(seed))).typed(s.dtype)
            out = s.on(one)
            if not np.array_equal(eval(read, {"np": np, "out": out}), one.value):
                break
        else:
            many = f"np.random.default_rng({_SAMPLE - 1})"
            body = f"out = {s.call()}\n# {name}: all of {_SAMPLE} such v, drawn from 2^{logarithm:.1f}, are read off C(v)\n"
            body += f"assert not np.array_equal({read}, v) or c.bits({d}) >= {logarithm:.1f}, c.bits({d})"
            assert many in one.code
            detail = f"{name} are all read off C(v), which takes {logarithm:.1f} bits; bits({d}) = {said:g}"
            return failed(detail, s.snippet(one, body), number=logarithm, bound=said, count=_SAMPLE)
    return None


def _alphabets(d: int, kept: int) -> list[tuple[str, float, str, str]]:
    """(what, log2 of how many, a draw of one, how it is read off C(v)). Draws are uniform."""
    rng = "np.random.default_rng(SEED)"
    out = [
        ("signs", float(d), f"{rng}.choice([-1.0, 1.0], {d})", "np.sign(out)"),
        ("signs and zeros", d * math.log2(3), f"{rng}.integers(-1, 2, {d}) * 1.0", "np.sign(out)"),
    ]
    for k in sorted({kept, d}):
        if k:
            places = math.log2(math.comb(d, k))
            entry = f"r.choice([-1.0, 1.0], {k}) * r.integers(2**23, 2**24, {k}) * 2.0 ** r.integers(-40, 20, {k})"
            make = f"(lambda r: (lambda v, i: (np.put(v, i, {entry}), v)[1])(np.zeros({d}), r.permutation({d})[:{k}]))({rng})"
            out.append((f"{k} float32 entries of {d}", places + k * (24 + math.log2(60)), make, "out"))
    return out
