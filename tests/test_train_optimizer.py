"""EFSGD against a float64 reference by the line, torch's SGD, its own invariants, and the checks that efcheck sells."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from efcheck.checks import check_error_feedback  # noqa: E402
from efcheck.compressors import Identity, RandomK, ScaledSign, Sign, TopK  # noqa: E402
from efcheck.compressors.sparse import kept  # noqa: E402
from efcheck.errors import ArgumentError, MissingExtraError  # noqa: E402
from efcheck.train import EFSGD, NonFiniteError, algorithms  # noqa: E402

SHAPES = ((3, 4), (1,), (), (0,), (5,))
EPS = np.finfo(np.float64).eps


def scaled(zero: float) -> Any:
    return lambda v: np.mean(np.abs(v)) * np.where(v > 0, 1.0, np.where(v < 0, -1.0, zero))


def unscaled(v: np.ndarray) -> np.ndarray:
    return np.sign(v)


def top2(v: np.ndarray) -> np.ndarray:
    keep = np.argsort(-np.abs(v), kind="stable")[:2]
    out = np.zeros_like(v)
    out[keep] = v[keep]
    return out


COMPRESSORS = {
    "ScaledSign": (ScaledSign(), scaled(1.0)), "ScaledSign(0)": (ScaledSign(zero=0), scaled(0.0)),
    "ScaledSign(-1)": (ScaledSign(zero=-1), scaled(-1.0)), "Sign": (Sign(), unscaled),
    "TopK": (TopK(2), top2), "Identity": (Identity(), lambda v: v), "callable": (lambda v: 0.5 * v, lambda v: 0.5 * v),
}  # fmt: skip


class Reference:
    """Algorithms 1 and 2 in float64, over whole vectors."""

    def __init__(self, xs: list[np.ndarray], compress: Any, s: dict[str, Any]) -> None:
        self.xs, self.C, self.s = [x.copy() for x in xs], compress, s
        self.es, self.ms = [np.zeros_like(x) for x in xs], [np.zeros_like(x) for x in xs]

    def send(self, ps: list[np.ndarray]) -> list[np.ndarray]:
        if self.s["granularity"] == "tensor":
            return [self.C(p.ravel()).reshape(p.shape) if p.size else p for p in ps]
        out = self.C(np.concatenate([p.ravel() for p in ps]))
        ends = np.cumsum([p.size for p in ps])[:-1]
        return [part.reshape(p.shape) for part, p in zip(np.split(out, ends), ps, strict=True)]

    def step(self, gs: list[np.ndarray], gamma: float) -> None:
        beta, lam, before = self.s["momentum"], self.s["weight_decay"], self.s["momentum_at"] == "before"
        coupled, count = self.s["weight_decay_at"] == "coupled", range(len(gs))
        us = [gs[i] + lam * self.xs[i] * coupled for i in count]
        if before:
            us = self.ms = [beta * self.ms[i] + us[i] for i in count]
        if self.s["feedback"]:
            ps = [self.es[i] + gamma * us[i] for i in count]
            deltas = self.send(ps)
            self.es = [p - d for p, d in zip(ps, deltas, strict=True)]
        else:
            deltas = [gamma * d for d in self.send(us)]
        if not before:
            deltas = self.ms = [beta * self.ms[i] + deltas[i] for i in count]
        self.xs = [self.xs[i] * (1 if coupled else 1 - gamma * lam) - deltas[i] for i in count]


settings = st.fixed_dictionaries({
    "feedback": st.booleans(), "momentum": st.sampled_from([0.0, 0.5, 0.9]),
    "momentum_at": st.sampled_from(["before", "after"]),
    "weight_decay": st.sampled_from([0.0, 0.25]), "weight_decay_at": st.sampled_from(["coupled", "decoupled"]),
    "granularity": st.sampled_from(["tensor", "group", "model"]),
})  # fmt: skip


def draw(seed: int, zeros: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    return [np.where(rng.random(v.shape) < 0.3, 0.0, v) for v in found] if zeros else found


def parameters(values: list[np.ndarray], dtype: Any = torch.float64) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor(v, dtype=dtype)) for v in values]


def give(params: list[torch.nn.Parameter], gs: list[np.ndarray]) -> None:
    for p, g in zip(params, gs, strict=True):
        p.grad = torch.tensor(g, dtype=p.dtype)


@given(
    s=settings, name=st.sampled_from(sorted(COMPRESSORS)), form=st.sampled_from(["eager", "foreach"]),
    scale=st.sampled_from([1.0, 1e-150, 1e150]), zeros=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_steps_are_the_references(s: dict[str, Any], name: str, form: str, scale: float, zeros: bool, seed: int) -> None:
    compressor, compress = COMPRESSORS[name]
    if name == "TopK" and s["granularity"] == "tensor":
        compressor, compress = TopK(0.5), half
    values = [scale * v for v in draw(seed, False)]
    params = parameters(values)
    optimizer, reference = EFSGD(params, 0.5, compressor, form=form, **s), Reference(values, compress, s)
    for t, gamma in enumerate((0.5, 0.125, 0.0, 1.0)):
        gs = [scale * v for v in draw(1000 + seed + t, zeros)]
        optimizer.param_groups[0]["lr"] = gamma
        give(params, gs)
        optimizer.step()
        reference.step(gs, gamma)
    for p, x, e in zip(params, reference.xs, reference.es, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=0, atol=1e3 * EPS * max(scale, 1.0 * (name == "Sign")))
        if s["feedback"]:
            memory = optimizer.state[p]["memory"].numpy()
            np.testing.assert_allclose(memory, e, rtol=0, atol=1e3 * EPS * max(scale, 1.0 * (name == "Sign")))


def half(v: np.ndarray) -> np.ndarray:
    keep = np.argsort(-np.abs(v), kind="stable")[: kept(0.5, v.size)]
    out = np.zeros_like(v)
    out[keep] = v[keep]
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 99), name=st.sampled_from(["ScaledSign", "Sign", "TopK"]))
def test_the_virtual_iterate_is_that_of_sgd(dtype: Any, seed: int, name: str) -> None:
    values = draw(seed, False)[:1]
    params = parameters(values, dtype)
    optimizer, virtual = EFSGD(params, 0.1, COMPRESSORS[name][0], momentum=0.9), values[0].astype(np.float64)
    m = np.zeros_like(virtual)
    for t in range(20):
        gs = draw(1 + seed + t, False)[:1]
        give(params, gs)
        m = 0.9 * m + params[0].grad.double().numpy()
        virtual = virtual - 0.1 * m
        optimizer.step()
        x, e = params[0].detach().double().numpy(), optimizer.state[params[0]]["memory"].double().numpy()
        np.testing.assert_allclose(x - e, virtual, rtol=0, atol=200 * torch.finfo(dtype).eps)  # 20 steps of sizes <= 10


def test_the_steps_are_those_of_the_authors_loop() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, dtype=torch.float64)
    p, e = torch.nn.Parameter(x.clone()), torch.zeros_like(x)
    optimizer = algorithms.make("ef-signsgd", [p], lr=0.056)
    for _ in range(10):
        g = torch.randn(300, dtype=torch.float64)
        p.grad = g.clone()
        optimizer.step()
        corrected = 0.056 * (g + 5e-4 * x) + e
        delta = corrected.norm(p=1) / 300 * corrected.sign()
        x, e = x - delta, corrected - delta
    assert torch.allclose(p, x, rtol=0, atol=1e-13)
    assert torch.allclose(optimizer.state[p]["memory"], e, rtol=0, atol=1e-13)


def test_sgdm_is_torchs_sgd() -> None:
    values = draw(3, False)
    mine, theirs = parameters(values, torch.float32), parameters(values, torch.float32)
    a = algorithms.make("sgdm", mine, lr=0.1)
    b = torch.optim.SGD(theirs, lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    for t in range(5):
        for params in (mine, theirs):
            give(params, draw(10 + t, False))
        a.step()
        b.step()
    assert all(torch.equal(p, q) for p, q in zip(mine, theirs, strict=True))
    assert all(
        torch.equal(a.state[p]["momentum_buffer"], b.state[q]["momentum_buffer"]) for p, q in zip(mine, theirs, strict=True)
    )


@pytest.mark.parametrize(("name", "wanted"), [
    ("sgdm", ("Identity()", False, 0.9, "before", "fused sgd")),
    ("scaled-signsgd", ("ScaledSign(zero=1)", False, 0.0, None, "eager")),
    ("signsgdm", ("Sign(zero=0)", False, 0.9, "before", "eager")),
    ("ef-signsgd", ("ScaledSign(zero=1)", True, 0.0, None, "eager")),
])  # fmt: skip
def test_presets_are_the_papers(name: str, wanted: tuple[Any, ...]) -> None:
    found = algorithms.describe(algorithms.make(name, parameters(draw(0, False)), lr=0.25))
    assert tuple(found[key] for key in ("compressor", "feedback", "momentum", "momentum_at", "form")) == wanted
    assert (found["lr"], found["weight_decay"], found["weight_decay_at"]) == (0.25, 5e-4, "coupled")


def test_ef_signsgd_passes_the_checks_and_a_planted_bug_does_not() -> None:
    report = check_error_feedback(lambda ps: algorithms.make("ef-signsgd", ps, 0.1), memory="memory")
    assert report.passed, report
    momentum = check_error_feedback(lambda ps: EFSGD(ps, 0.1, momentum=0.9, weight_decay=0.01), memory="memory")
    assert momentum.passed, momentum

    class Forgetful(EFSGD):
        """Keeps the memory in the unit of g when the learning rate is 1, of nothing otherwise."""

        def step(self, closure: Any = None) -> Any:
            found = super().step(closure)
            for s in self.state.values():
                s["memory"].mul_(1 - self.param_groups[0]["lr"])
            return found

    assert not check_error_feedback(lambda ps: Forgetful(ps, 0.1), memory="memory").passed


@pytest.mark.parametrize("form", ["eager", "foreach"])
@pytest.mark.parametrize("compressor", [ScaledSign(), Sign(), RandomK(2), Identity()], ids=repr)
def test_after_a_saved_state_the_steps_are_bitwise_the_same(form: str, compressor: Any) -> None:
    def fresh() -> tuple[list[torch.nn.Parameter], EFSGD]:
        params = parameters(draw(0, False)[:1], torch.bfloat16)
        return params, EFSGD(params, 0.1, compressor, momentum=0.9, form=form, seed=4)

    params, optimizer = fresh()
    others, other = fresh()
    for t in range(3):
        give(params, draw(t, False)[:1])
        optimizer.step()
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "x": [p.detach() for p in params]}, file)
    file.seek(0)
    saved = torch.load(file)
    other.load_state_dict(saved["optimizer"])
    for p, x in zip(others, saved["x"], strict=True):
        p.data.copy_(x)
    copied = copy.deepcopy((params, optimizer))
    pickled = pickle.loads(pickle.dumps((params, optimizer)))
    for xs, o in ((params, optimizer), (others, other), copied, pickled):
        for t in range(3, 6):
            give(xs, draw(t, False)[:1])
            o.step()
        assert torch.equal(xs[0], params[0])
        for key in ("memory", "momentum_buffer"):
            assert o.state[xs[0]][key].dtype == torch.float32
            assert torch.equal(o.state[xs[0]][key], optimizer.state[params[0]][key])


def test_a_state_of_another_compressor_is_refused() -> None:
    saved = EFSGD(parameters(draw(0, False)), 0.1, Sign()).state_dict()
    optimizer = EFSGD(parameters(draw(0, False)), 0.1)
    with pytest.raises(ArgumentError, match=r"`compressor` must be Sign\(zero=0\), as in the state; got ScaledSign\(zero=1\)"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("form", ["eager", "foreach"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("compressor", [ScaledSign(), Identity(), TopK(1)], ids=repr)
def test_a_gradient_that_is_not_finite_changes_nothing(form: str, bad: float, compressor: Any) -> None:
    params = parameters([np.ones(3), np.ones((2, 2))])
    optimizer = EFSGD([("first", params[0]), ("second", params[1])], 0.1, compressor, momentum=0.9, form=form)
    give(params, [np.ones(3), np.arange(4.0).reshape(2, 2)])
    optimizer.step()
    before = copy.deepcopy(([p.data for p in params], [dict(optimizer.state[p]) for p in params]))
    params[1].grad[1, 0] = bad
    with pytest.raises(
        NonFiniteError, match=rf"`gradient` must be finite; got {bad} in parameter 1 \(second\), entry \(1, 0\)"
    ) as e:
        optimizer.step()
    assert e.value.index == 1
    for p, x, s in zip(params, *before, strict=True):
        assert torch.equal(p.data, x)
        assert all(torch.equal(optimizer.state[p][key], s[key]) for key in s)


def test_parameters_without_a_gradient_stay_and_groups_have_their_own_settings() -> None:
    a, b, c = parameters([np.ones(2), np.ones(2), np.ones(2)])
    groups = [{"params": [a]}, {"params": [b, c], "lr": 1.0, "compressor": Identity(), "feedback": False}]
    optimizer = EFSGD(groups, 0.5)
    a.grad, b.grad = torch.tensor([3.0, 1.0], dtype=torch.float64), torch.tensor([3.0, 1.0], dtype=torch.float64)
    optimizer.step()
    assert a.tolist() == [0.0, 0.0]
    assert b.tolist() == [-2.0, 0.0]
    assert c.tolist() == [1.0, 1.0] and c not in optimizer.state
    assert optimizer.state[a]["memory"].tolist() == [0.5, -0.5] and optimizer.error_norm() == pytest.approx(0.5**0.5)


def test_a_compressor_that_works_in_place_leaves_the_corrected_step_as_it_was() -> None:
    def first_entry(v: Any) -> Any:
        v[1:] = 0
        return v

    (x,) = parameters([np.zeros(3)])
    optimizer = EFSGD([x], 1.0, first_entry)
    give([x], [np.array([1.0, 2.0, 3.0])])
    optimizer.step()
    assert x.tolist() == [-1.0, 0.0, 0.0] and optimizer.state[x]["memory"].tolist() == [0.0, 2.0, 3.0]


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned() -> None:
    (p,) = parameters([np.array([2.0])])
    optimizer = EFSGD([p], torch.tensor(0.25))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert p.tolist() == [1.0]


def test_a_state_of_another_granularity_is_refused() -> None:
    x = torch.nn.Parameter(torch.ones(3))
    state = EFSGD([x], 0.1, granularity="group").state_dict()
    with pytest.raises(ArgumentError, match="`granularity` must be group, as in the state; got tensor"):
        EFSGD([x], 0.1).load_state_dict(state)
    again = EFSGD([x], 0.1, granularity="group")
    again.load_state_dict(state)
    assert "granularity" not in again.param_groups[0]


@pytest.mark.parametrize("rate", [1e39, -1.0, math.nan], ids=str)
def test_a_rate_that_a_scheduler_spoils_is_refused_before_anything_is_written(rate: float) -> None:
    x = torch.nn.Parameter(torch.ones(3))
    optimizer = EFSGD([x], 0.1)
    x.grad = torch.ones(3)
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(ArgumentError, match="`lr` must be a number in"):
        optimizer.step()
    assert torch.equal(x.detach(), torch.ones(3)) and not optimizer.state
    with pytest.raises(ArgumentError, match="`lr` must be a finite number"):
        EFSGD([x], torch.tensor(-1.0))


def test_corrected_steps_and_messages_change_nothing_and_are_what_is_sent() -> None:
    params = parameters(draw(0, False)[:2])
    optimizer = EFSGD(params, 0.1, momentum=0.9, weight_decay=0.1)
    for t in range(3):
        give(params, draw(t, False)[:2])
        steps, messages = optimizer.corrected_steps(), optimizer.messages()
        before = [p.detach().clone() for p in params]
        optimizer.step()
        for (p, corrected), (_, (same,), (delta,)), x in zip(steps, messages, before, strict=True):
            assert torch.equal(corrected, same)
            assert torch.allclose(x - p, delta, rtol=0, atol=1e-14)
            assert torch.allclose(corrected - delta, optimizer.state[p]["memory"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", ["eager", "foreach"])
def test_half_precision_keeps_its_memory_in_float32(dtype: Any, form: str) -> None:
    params = parameters(draw(0, False)[:1], dtype)
    optimizer = EFSGD(params, 1e-3, form=form)
    total = torch.zeros(SHAPES[0])
    for t in range(50):
        give(params, draw(t, False)[:1])
        _, _, (delta,) = optimizer.messages()[0]
        total += 1e-3 * params[0].grad.float() - delta
        optimizer.step()
    assert optimizer.state[params[0]]["memory"].dtype == torch.float32
    assert torch.allclose(optimizer.state[params[0]]["memory"], total, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("words", "text"), [
    ({"lr": -1}, "`lr` must be"),
    ({"lr": torch.ones(2)}, r"`lr` must be a number or a 0-d real tensor; got a tensor of shape \(2,\)"),
    ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\); got 1"), ({"weight_decay": -0.1}, "`weight_decay` must be"),
    ({"momentum_at": "between"}, "`momentum_at` must be one of 'before', 'after'; got"),
    ({"feedback": 1}, "`feedback` must be True or"),
    ({"compressor": "sign"}, "`compressor` must be a compressor or a callable"), ({"form": "fast"}, "`form` must be one of"),
    ({"compressor": ScaledSign}, "`compressor` must be a compressor or a callable"), ({"seed": -1}, "`seed` must be"),
    ({"granularity": "row"}, "`granularity` must be one of"),
])  # fmt: skip
def test_bad_settings_give_one_line(words: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text) as found:
        EFSGD(parameters([np.ones(2)]), **{"lr": 0.1, **words})
    assert "\n" not in str(found.value)


def test_sparse_gradients_and_integers_are_refused() -> None:
    (p,) = parameters([np.ones(2)])
    p.grad = torch.sparse_coo_tensor([[0]], [1.0], (2,), dtype=torch.float64, check_invariants=True)
    with pytest.raises(ArgumentError, match="`gradient` must be dense"):
        EFSGD([p], 0.1).step()
    with pytest.raises(ArgumentError, match="`params` must be real floating-point tensors"):
        EFSGD([torch.zeros(2, dtype=torch.complex64, requires_grad=True)], 0.1)


def test_the_form_triton_without_triton_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="triton"):
        EFSGD(parameters([np.ones(2)]), 0.1, form="triton")
