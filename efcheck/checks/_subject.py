"""The object under test as one kind of function, NumPy in and out, whatever it is: NumPy or torch, with or without `rng`."""

from __future__ import annotations

import copy
import dis
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._clock import Clock, Prices
from efcheck.checks._globals import global_seed, global_states
from efcheck.checks._inputs import Input, families, generic
from efcheck.checks._source import source_of
from efcheck.checks.report import Raised
from efcheck.errors import ArgumentError, argument_error, integer, real

DIMS = (1, 2, 3, 10, 1000)
ODD = (5, 7, 9, 17, 33)  # tried besides the default dims; a compressor may refuse them
_REFUSALS = (ValueError, TypeError, AssertionError, NotImplementedError, RuntimeError)
_SLOW = 32  # pace above which the odd dims are left out
_LIBRARIES = ("numpy", "torch", "scipy")


class WrongOutput(TypeError):
    """What the object returned is no vector of the input's shape."""


class Exited(Exception):
    """The object called sys.exit: a failure, and no end of the checks."""


@dataclass(frozen=True)
class Call:
    """One call: output, and whether it drew from `rng` or from a global generator."""

    out: Array
    drew: bool
    drew_global: bool


def refused(error: BaseException) -> bool:
    """Whether the code under test raised on purpose: its own `raise` or `assert`, not a slip inside a library."""
    trace = error.__traceback__
    if trace is None or isinstance(error, WrongOutput) or not isinstance(error, _REFUSALS):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    return dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS" and package not in _LIBRARIES


class Subject:
    """A compressor with its claims.

    kind: "numpy" or "torch". dtype: of the vectors it is tested on. accepted: the dims that it takes; dims: those of them
    that are tried, all but for slow code; refused: those that it refuses on purpose, with the message; broken: those on which
    it raises otherwise. random: whether it draws.
    """

    def __init__(
        self,
        c: Any,
        delta: float | Callable[[int], float] | None = None,
        unbiased: bool | None = None,
        dims: Sequence[int] = DIMS,
        thorough: bool = False,
        source: str | None = None,
        seed: int = 0,
    ) -> None:
        if not callable(c) or isinstance(c, type):
            hint = "Pass an instance, not the class." if isinstance(c, type) else ""
            raise argument_error("c", "be a compressor, a callable (v, rng=None) -> v", c, hint)
        self.c, self.source = _copied(c), source or source_of(c)  # the caller's object stays as it is
        self.thorough, self.seed = thorough, integer("seed", seed, 0)
        self._delta = delta if delta is None or callable(delta) else _share("delta", delta)
        self.asked = tuple(dict.fromkeys(_dims(dims)))
        self.wanted = self.asked + (ODD if tuple(dims) == DIMS else ())
        self.stateful = bool(getattr(c, "stateful", False))
        self._rng_name = rng_name(c)
        self.pristine = _copied(c)
        self.prices = Prices()
        self.kind, self.dtype = self._probe()
        self.accepted: tuple[int, ...] = ()
        self.dims: tuple[int, ...] = ()
        self.refused: dict[int, str] = {}
        self.broken: dict[int, Raised] = {}
        self._sort_dims()
        self.random = self._is_random()
        self.eps = self._precision()
        self.unbiased = self._claims_unbiased() if unbiased is None else bool(unbiased)

    # calls

    def clock(self, seconds: float) -> Clock:
        return Clock(seconds * (6 if self.thorough else 1), lambda: self.prices.spent)

    @property
    def hint(self) -> str:
        """What to do where a generator was handed to a parameter that may be none."""
        name = self._rng_name
        known = name is None or any(word in name.lower() for word in ("rng", "gen", "rand", "seed", "key", "noise"))
        return "" if known else f". `{name}` was given a generator: bind what is none, functools.partial(c, {name}=...)"

    def rng(self, seed: int) -> Any:
        """A generator of the kind that the object takes, or None."""
        if self._rng_name is None:
            return None
        if self.kind == "torch" and self._rng_name == "generator":
            return sys.modules["torch"].Generator().manual_seed(self._own(seed))
        return np.random.default_rng(self._own(seed))

    def _own(self, seed: int) -> int:
        """Checks number their draws from 0; another seed of the report gives all of them other draws."""
        return 1000 * self.seed + seed

    def object(self) -> Any:
        """The object; a copy that has not been called where it declares a state."""
        return self.fresh() if self.stateful else self.c

    def fresh(self) -> Any:
        """A copy of the object as it was handed over, where it can be copied; functions cannot."""
        return _copied(self.pristine)

    def renew(self) -> None:
        """Each check begins with a fresh copy, as its snippet does."""
        self.c = self.fresh()

    def given(self, v: Array) -> Any:
        """`v` as what the object takes, memory shared."""
        return v if self.kind == "numpy" else sys.modules["torch"].from_numpy(v)

    def taken(self, out: Any, shape: tuple[int, ...]) -> Array:
        """What it returned, as a new NumPy array of this shape."""
        expected: Any = np.ndarray if self.kind == "numpy" else sys.modules["torch"].Tensor
        if not isinstance(out, expected) and not (shape == () and isinstance(out, np.generic)):
            raise WrongOutput(f"it returned {type(out).__name__}, not {expected.__name__}")
        if self.kind == "torch":
            torch = sys.modules["torch"]
            out = out.detach().cpu()
            out = (out.float() if out.dtype in (torch.bfloat16, torch.float16) else out).numpy()
        if out.shape != shape:
            raise WrongOutput(f"it returned shape {tuple(out.shape)} for shape {tuple(shape)}")
        if out.dtype.kind not in "fiub":
            raise WrongOutput(f"it returned dtype {out.dtype}")
        wide: Array = np.array(out, dtype=np.float64)
        return wide

    def raw(self, c: Any, value: Any, rng: Any) -> Any:
        """Call the object `c` on `value` as it is."""
        try:
            return c(value) if self._rng_name is None else c(value, **{self._rng_name: rng})
        except SystemExit as error:
            raise Exited(f"it called sys.exit({'' if error.code is None else repr(error.code)})") from error

    def __call__(self, v: Array, rng: Any) -> Array:
        """C(v) as float64, v kept; what goes wrong is raised as it is."""
        self.prices.count(v.shape[-1])
        return self.taken(self.raw(self.object(), self.given(v.copy()), rng), v.shape)

    def on(self, one: Input, seed: int = 0) -> Array:
        """C(input) with a fresh generator; an exception becomes the check's failure on this input."""
        try:
            return self(one.value, self.rng(seed))
        except Exception as error:
            raise self.raised(error, one, seed) from error

    def raised(self, error: BaseException, one: Input, seed: int = 0) -> Raised:
        sound = 'isinstance(out, np.ndarray) and out.shape == v.shape and out.dtype.kind in "fiub"'
        return Raised(error, f"v = {one.code}", self.snippet(one, f"out = {self.call(seed)}\nassert {sound}, out"))

    def watched(self, v: Array, seed: int) -> Call:
        """A call that sees whether generators were used."""
        rng = self.rng(seed)
        with global_seed(12345):  # one that the object would hardly set
            before, globals_before = _state(rng), global_states()
            out = self(v, rng)
            return Call(out, _state(rng) != before, global_states() != globals_before)

    # claims

    def delta(self, d: int) -> float | None:
        """The claimed delta over R^d: the argument's, else the object's own."""
        if self._delta is None:
            return self._number("delta", d)
        value = self._delta(d) if callable(self._delta) else self._delta
        return None if value is None else real(f"delta({d})", value)

    def omega(self, d: int) -> float | None:
        return self._number("omega", d)

    def bits(self, d: int) -> float | None:
        return self._number("bits", d)

    def claims(self, name: str) -> bool:
        """Whether it has this method: a plain number is no claim, many keep a step `delta` or `bits` of an entry."""
        return callable(getattr(self.c, name, None))

    def _number(self, name: str, d: int) -> float | None:
        value = getattr(self.c, name)(d) if self.claims(name) else None
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            raise TypeError(f"{name}({d}) is {value!r}, not a number")
        return float(value)

    def _claims_unbiased(self) -> bool:
        try:
            return any(self.omega(d) is not None for d in self.dims)
        except Exception:
            return False  # the check of omega tells it

    # snippets

    def call(self, seed: int = 0, rng: str = "", v: str = "v") -> str:
        """Python text of one call on `v`; `rng` names a generator that exists already."""
        argument = "" if self._rng_name is None else f", {self._rng_name}={rng or self.generator(seed)}"
        return f"c({v}{argument})" if self.kind == "numpy" else f"c(torch.from_numpy({v}){argument}).detach().numpy()"

    def generator(self, seed: int) -> str:
        """Python text of a fresh generator of the kind that the object takes."""
        torch, seed = self.kind == "torch" and self._rng_name == "generator", self._own(seed)
        return f"torch.Generator().manual_seed({seed})" if torch else f"np.random.default_rng({seed})"

    def snippet(self, one: Input | None, body: str) -> str:
        """Python for a fresh prompt: imports, c, v, then `body`, which fails as the check did."""
        head = "import numpy as np\n" + ("import torch\n" if self.kind == "torch" else "")
        return f"{head}{self.source}\n" + (f"v = {one.code}\n" if one is not None else "") + body

    # what the object is

    def notes(self) -> tuple[str, ...]:
        """What is reduced for code that is slow, and why."""
        left = [str(d) for d in self.accepted if d not in self.dims]
        return (*self.prices.notes(), *([f"for the same reason only `sizes` tries d = {', '.join(left)}"] if left else []))

    def inputs(self, d: int) -> list[Input]:
        seeds = range(self._own(0), self._own(6 if self.thorough else 3))
        return [one.typed(self.dtype) for one in families(d, seeds)[:: self.prices.stride(d)]]

    @property
    def few(self) -> tuple[int, ...]:
        """The accepted dims that were asked for, where there are any: the odd ones are for what depends on the size."""
        return tuple(d for d in self.dims if d in self.asked) or self.dims

    def generic(self, d: int, seed: int = 0) -> Input:
        return generic(d, self._own(seed)).typed(self.dtype)

    def precision_note(self, v: Array) -> str:
        """Why it fails on v, where v is no normal float32 and all that comes out are float32 numbers."""
        top, kind = float(np.abs(v).max()), np.finfo(np.float32)
        if not self.single or float(kind.tiny) <= top <= float(kind.max):
            return ""
        return "; it seems to compute in float32: let it refuse float64, or name this check in expected_failed"

    def tolerance(self, d: int) -> float:
        """Of squared error over squared norm: sums of d rounded terms, 4 sqrt(d) units in the last place."""
        return (16 + 4 * math.sqrt(d)) * self.eps

    def _probe(self) -> tuple[str, str]:
        kinds = ["numpy"] + (["torch"] if "torch" in sys.modules else [])
        sizes = sorted(self.asked, key=lambda d: abs(math.log(d / 10)))
        for dtype in ("float64", "float32"):
            for kind in kinds:
                self.kind = kind
                for d in sizes:
                    try:
                        self(generic(d).typed(dtype).value, self.rng(0))
                        return kind, dtype
                    except Exception:
                        kinds += ["torch"] if "torch" in sys.modules and "torch" not in kinds else []
        return "numpy", "float64"

    def _sort_dims(self) -> None:
        good: list[int] = []
        for d in self.wanted:
            if d not in self.asked and any(self.prices.pace(d) > _SLOW for d in good):
                continue
            one = self.generic(d)
            check = getattr(self.c, "check", None)
            try:
                if callable(check) and hasattr(self.c, "compress"):
                    check(d)
                self.prices.time(d, partial(self, one.value, self.rng(0)))
                good.append(d)
            except Exception as error:
                if refused(error) or (d not in self.asked and not isinstance(error, WrongOutput)):
                    self.refused[d] = f"{type(error).__name__}: {error}"
                else:
                    self.broken[d] = self.raised(error, one)
        self.accepted = tuple(sorted(good))
        self.dims = self.accepted if self.thorough else self.prices.tried(good)

    def _is_random(self) -> bool:
        if getattr(self.c, "stochastic", False):
            return True
        for d in self.dims:
            one = self.generic(d, 1)
            calls = [self.watched(one.value, 0), self.watched(one.value, 0)]
            if any(call.drew or call.drew_global for call in calls):
                return True
            if not np.array_equal(calls[0].out, calls[1].out, equal_nan=True):
                return True
        return any(
            self._draws_on(Input(code).typed(self.dtype)) for d in self.dims for code in _special(d, self.prices.pace(d))
        )

    def _draws_on(self, one: Input) -> bool:
        """Whether it draws there; what it raises is for the checks to tell."""
        try:
            call = self.watched(one.value, 0)
        except Exception:
            return False
        return call.drew or call.drew_global

    def _precision(self) -> float:
        """eps of what it computes in: a float64 object whose every output is a float32 number rounds to float32."""
        outs = [self(self.generic(d, 2).value, self.rng(0)) for d in self.dims if d > 1]
        with np.errstate(all="ignore"):
            single = all((out == out.astype(np.float32)).all() for out in outs)
            whole = all((out == out.astype(np.float16)).all() for out in outs)  # signs say nothing of a precision
        self.single = self.dtype == "float64" and single and not whole
        return float(np.finfo(np.float32 if self.dtype == "float32" or single else np.float64).eps)


def _copied(c: Any) -> Any:
    """A copy that shares no state with c; c itself where it cannot be copied."""
    try:
        return copy.deepcopy(c)
    except Exception:
        return c


def _state(rng: Any) -> Any:
    if rng is None:
        return None
    if isinstance(rng, np.random.Generator):
        return repr(rng.bit_generator.state), getattr(rng.bit_generator.seed_seq, "n_children_spawned", 0)
    return rng.get_state().numpy().tobytes()


def _special(d: int, pace: int) -> list[str]:
    """Where some draw that need not elsewhere: ties, two levels, zeros, one entry; only ties where calls are slow."""
    codes = [f"np.ones({d})", f"np.resize([2.0, 1.0], {d})", f"np.resize([1.0, 0.0, -1.0], {d})", f"np.eye(1, {d})[0]"]
    return codes if pace == 1 else codes[:1]


def rng_name(c: Any) -> str | None:
    """The parameter that takes a generator: one called rng or generator, or a second one that has no default."""
    try:
        parameters = inspect.signature(c).parameters
    except Exception:  # whatever the object's own methods raise
        return None
    for name in ("rng", "generator"):
        if name in parameters:
            return name
    places = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(places) > 1 and places[1].default is inspect.Parameter.empty:
        return places[1].name
    return None


def _dims(dims: Sequence[int]) -> list[int]:
    hint = "Give the dimensions to test in."
    try:
        found = [integer("dims", d, 1, hint=hint) for d in dims]
    except TypeError:
        raise argument_error("dims", "be a sequence of integers >= 1", dims, hint) from None
    if not found:
        raise argument_error("dims", "name at least one dimension", dims, hint)
    return found


def _share(name: str, value: Any) -> float:
    try:
        number = real(name, value, 0.0, 1.0)
    except ArgumentError:
        number = 0.0
    if number == 0:
        raise argument_error(name, "be a number in (0, 1]", value, "Or pass a callable d -> number.")
    return number
