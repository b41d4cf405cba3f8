"""All forms of a step against the general one: by the error of the scale, and by flipped signs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from efcheck.compressors import Identity, ScaledSign, Sign  # noqa: E402
from efcheck.train import EFSGD, NonFiniteError, _compiled, _eager, _foreach, _general, algorithms  # noqa: E402

# torch warns about itself when its compiler is first imported
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
SHAPES = ((70, 80), (1,), (), (0,), (2, 3, 4, 5), (4, 16, 9, 8), (131_075,))
SETTINGS: list[dict[str, Any]] = [
    {}, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "momentum_at": "after", "weight_decay": 0.1},
    {"feedback": False, "compressor": Sign(), "momentum": 0.9}, {"feedback": False, "weight_decay": 0.1},
    {"compressor": ScaledSign(zero=-1), "weight_decay": 0.1, "weight_decay_at": "decoupled"},
    {"compressor": ScaledSign(zero=0), "granularity": "model"}, {"granularity": "group", "momentum": 0.5},
]  # fmt: skip


def make(form: str, layout: Any = torch.contiguous_format, dtype: Any = torch.float32, **words: Any) -> EFSGD:
    torch.manual_seed(0)
    values = [torch.randn(shape).to(dtype) for shape in SHAPES]
    params = [torch.nn.Parameter(v.to(memory_format=layout) if v.dim() == 4 else v) for v in values]
    optimizer = EFSGD(params, 0.1, form="eager" if form == "general" else form, **words)
    if form == "general":
        optimizer._run.step = lambda units, rngs: _general.step(units, rngs())  # type: ignore[method-assign]
    return optimizer


def run(optimizer: EFSGD, steps: int = 3, scale: float = 1.0) -> list[Any]:
    """Steps; returns Delta of the last one."""
    torch.manual_seed(1)
    for _ in range(steps):
        for p in optimizer.param_groups[0]["params"]:
            p.grad = (scale * torch.randn(p.shape)).to(p.dtype)
            p.grad[torch.rand(p.shape) < 0.1] = 0
        deltas = [d for _, _, ds in optimizer.messages() for d in ds]
        optimizer.step()
    return deltas


def difference(a: EFSGD, b: EFSGD, **words: Any) -> tuple[float, int, float]:
    """(largest relative error of a scale, flipped signs, largest error of x, e, m where no sign is flipped)."""
    da, db = run(a, **words), run(b, **words)
    pairs = [(u, v) for u, v in zip(da, db, strict=True) if u.numel()]
    scale = max(float((u.abs().max() / v.abs().max() - 1).abs()) for u, v in pairs)
    flipped = sum(int((u.sign() != v.sign()).sum()) for u, v in pairs)
    worst = 0.0
    for p, q in zip(a.param_groups[0]["params"], b.param_groups[0]["params"], strict=True):
        tensors = [(p.detach(), q.detach()), *((a.state[p][key], b.state[q][key]) for key in a.state[p])]
        worst = max([worst, *(float((u - v).abs().float().quantile(0.9)) for u, v in tensors if u.numel())])
    return scale, flipped, worst


def agree(form: str, words: dict[str, Any], **more: Any) -> bool:
    """1e-5: float32 sums of 131,075 entries in any order of blocks; a sign may flip where p is a rounding error from 0."""
    scale, flipped, worst = difference(make(form, **more, **words), make("general", **more, **words))
    return scale <= 1e-5 and flipped <= 10 and worst <= 1e-4


@pytest.mark.parametrize("words", SETTINGS, ids=str)
@pytest.mark.parametrize("form", ["eager", "foreach"])
def test_forms_agree_with_the_general_one(form: str, words: dict[str, Any]) -> None:
    assert agree(form, words)
    assert agree(form, words, layout=torch.channels_last)


@pytest.mark.parametrize("words", SETTINGS, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tensors_of_many_blocks_are_as_those_of_one(
    words: dict[str, Any], layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make("eager", layout, **words)
    run(whole)
    monkeypatch.setattr(_eager, "BLOCK", 7)
    parts = make("eager", layout, **words)
    run(parts)
    assert len(parts._run._places._kept) == sum(1 for shape in SHAPES if 0 not in shape)  # none was left to another form
    assert all(place is not None for _, place in parts._run._places._kept.values())
    for p, q in zip(whole.param_groups[0]["params"], parts.param_groups[0]["params"], strict=True):
        assert torch.allclose(p, q, rtol=1e-4, atol=1e-6)


@compiler
@pytest.mark.parametrize(
    "words", [pytest.param(w, marks=[pytest.mark.slow] if i != 1 else []) for i, w in enumerate(SETTINGS)], ids=str
)
def test_the_compiled_form_agrees_with_the_general_one(words: dict[str, Any]) -> None:
    assert agree("compiled", words)
    assert agree("compiled", words, layout=torch.channels_last)


def shifted(module: Any, name: str, change: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, change(getattr(module, name)))


def grown(f: Callable[..., Any]) -> Callable[..., Any]:
    def corrected(*arguments: Any) -> Any:
        blocks, total = f(*arguments)
        return [block._replace(p=block.p.mul_(1.001)) for block in blocks], total

    return corrected


PLANTED = {
    "eager, scale": ("eager", shifted(_eager, "_scale", lambda f: lambda *a: 1.001 * f(*a))),
    "eager, momentum": ("eager", shifted(_eager, "_corrected", grown)),
    "foreach, scale": ("foreach", shifted(_foreach, "_scales", lambda f: lambda *a: [1.001 * s for s in f(*a)])),
    "foreach, no decay": ("foreach", shifted(_foreach, "_corrected", lambda f: lambda b: [[s.g for s in b], f(b)[1]])),
    "compiled, momentum": ("compiled", shifted(_compiled, "_corrected", lambda f: lambda *a: (a[2], f(*a)[1]))),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow, compiler] if "comp" in n else []) for n in PLANTED])
def test_a_planted_error_in_a_form_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form, plant = PLANTED[name]
    words = {"momentum": 0.9, "weight_decay": 0.1}
    _compiled._compiled.cache_clear()
    plant(monkeypatch)
    assert not agree(form, words)
    _compiled._compiled.cache_clear()


@pytest.mark.parametrize("form", ["eager", "foreach", pytest.param("compiled", marks=[compiler, pytest.mark.slow])])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_forms_agree_in_half_precision(form: str, dtype: Any) -> None:
    scale, flipped, _ = difference(make(form, dtype=dtype), make("general", dtype=dtype))
    assert scale <= 1e-5 and flipped <= 10


@pytest.mark.parametrize("form", ["eager", "foreach", pytest.param("compiled", marks=[compiler, pytest.mark.slow])])
def test_sums_that_overflow_are_still_steps_and_entries_that_do_are_errors(form: str) -> None:
    p = torch.nn.Parameter(torch.zeros(1000))
    optimizer = EFSGD([p], 1.0, form=form)
    p.grad = torch.full((1000,), 1e37)  # ||g||_1 = 1e40 is not a float32
    optimizer.step()
    assert torch.allclose(p, torch.tensor(-1e37))
    x = p.detach().clone()
    p.grad = torch.full((1000,), 3e38)
    optimizer.param_groups[0]["lr"] = 10.0
    with pytest.raises(NonFiniteError, match="`corrected step` must be finite; got inf in parameter 0, entry 0"):
        optimizer.step()
    assert torch.equal(p, x)


@pytest.mark.parametrize("form", ["eager", "foreach", pytest.param("compiled", marks=[compiler, pytest.mark.slow])])
@pytest.mark.parametrize("words", SETTINGS, ids=str)
def test_a_gradient_that_is_not_finite_changes_no_tensor_of_any_kind(form: str, words: dict[str, Any]) -> None:
    optimizer = make(form, **words)
    run(optimizer)
    params = optimizer.param_groups[0]["params"]
    before = [t.clone() for p in params for t in (p.detach(), *optimizer.state[p].values())]
    for p in params:
        p.grad = torch.randn(p.shape)
    params[-1].grad[5] = float("inf")
    with pytest.raises(NonFiniteError, match=f"in parameter {len(params) - 1}, entry 5"):
        optimizer.step()
    after = [t for p in params for t in (p.detach(), *optimizer.state[p].values())]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("form", ["eager", "foreach", pytest.param("compiled", marks=[compiler, pytest.mark.slow])])
def test_gradients_of_another_layout_are_read_by_entry(form: str) -> None:
    torch.manual_seed(0)
    x, g = torch.randn(6, 7, 5, 5), torch.randn(6, 7, 5, 5)
    results = []
    for gradient in (g, g.to(memory_format=torch.channels_last), g.transpose(0, 1).contiguous().transpose(0, 1)):
        p = torch.nn.Parameter(x.clone())
        p.grad = gradient
        EFSGD([p], 0.1, form=form).step()
        results.append(p.detach())
    assert torch.allclose(results[0], results[1], rtol=0, atol=1e-6)
    assert torch.allclose(results[0], results[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("by_columns", ["gradient", "parameter", "state"])
def test_torchs_fused_step_is_given_tensors_that_lie_alike(by_columns: str, momentum: float) -> None:
    """Alone it goes by place in memory: torch.optim.SGD(fused=True) mixes up the entries here (torch 2.13)."""
    torch.manual_seed(0)
    x, gs = torch.randn(5, 3), [torch.randn(5, 3) for _ in range(3)]
    results = []
    for columns in (False, True):

        def laid(t: Any, what: str, columns: bool = columns) -> Any:
            return t.t().contiguous().t() if columns and what == by_columns else t.clone()

        p = torch.nn.Parameter(laid(x, "parameter"))
        optimizer = algorithms.make("sgdm", [p], 0.1, momentum=momentum)
        for g in gs:
            p.grad = laid(g, "gradient")
            optimizer.step()
            for name, value in optimizer.state[p].items():
                optimizer.state[p][name] = laid(value, "state")
        results.append(p.detach())
    assert torch.allclose(*results, rtol=1e-6, atol=1e-7)  # fused or not, three steps of a few roundings


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("lie", [lambda t: t[:, ::2], lambda t: t.T[::2], lambda t: t[:, 1:5]])
def test_a_step_does_not_write_into_the_gaps_of_a_parameter(lie: Callable[[Any], Any], momentum: float) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    x, expected = torch.nn.Parameter(lie(whole)), whole.clone()
    optimizer = EFSGD([x], 0.5, Identity(), feedback=False, momentum=momentum)
    x.grad = torch.rand(x.shape)
    lie(expected).sub_(0.5 * x.grad)
    optimizer.step()
    assert torch.equal(whole, expected)


@pytest.mark.parametrize("form", ["eager", "foreach"])
@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_zeros_of_both_signs_go_where_they_should(form: str, zero: int) -> None:
    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.tensor([0.0, -0.0, 2.0, -2.0])
    EFSGD([p], 1.0, ScaledSign(zero=zero), form=form).step()
    assert (-p).tolist() == [zero, zero, 1.0, -1.0]


KERNELS = """
import torch
from test_train_forms import SETTINGS, difference, make
from efcheck.train import _triton
calls, step = [], _triton.step
_triton.step = lambda *a: calls.append(1) or step(*a)
for words in SETTINGS:
    scale, flipped, worst = difference(make("triton", **words), make("general", **words))
    assert scale <= 1e-5 and flipped <= 10 and worst <= 1e-4, (words, scale, flipped, worst)
assert len(calls) == 3 * len(SETTINGS), calls
optimizer = make("triton", momentum=0.9)
p = optimizer.param_groups[0]["params"][0]
p.grad = torch.full_like(p, float("nan"))
x = p.detach().clone()
optimizer.step()
assert torch.equal(p, x) and optimizer.skipped_steps() == 1 and not optimizer.state[p]["memory"].any()
plain = _triton._tables
_triton._tables = lambda units, key: (*plain(units, key)[:3], 1.1 * plain(units, key)[3])
assert difference(make("triton"), make("general"))[2] > 1e-4  # planted: scales too small
"""


def test_tritons_kernels_agree_in_its_interpreter() -> None:
    pytest.importorskip("triton", reason="triton is not installed")
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), env.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", KERNELS], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
