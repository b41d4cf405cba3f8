"""measure() against its formulas in float64 by hand; it changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from efcheck.compressors import QSGD, Identity, ScaledSign, TopK  # noqa: E402
from efcheck.train import EFSGD, algorithms  # noqa: E402
from efcheck.train.measure import NAMES, measure  # noqa: E402

SHAPES = [(7, 5), (1,), (64,), (3, 2, 2)]
ROUNDING = 1e-5  # float32 of p and Delta, some 10 operations of 6e-8 each; delta is a difference of numbers near 1


def parameters(seed: int = 0) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def fill(params: list[Any], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator) * torch.rand(p.shape, generator=generator) ** 3


def wide(t: Any) -> np.ndarray:
    return t.detach().numpy().astype(np.float64).reshape(-1)


def phi(v: np.ndarray) -> float:
    return float(np.abs(v).sum() ** 2 / (v.size * (v @ v)))


def by_hand(g: np.ndarray, p: np.ndarray, sent: np.ndarray, e: np.ndarray) -> dict[str, float]:
    return {
        "density_g": phi(g), "density_p": phi(p), "delta": float(1 - (sent - p) @ (sent - p) / (p @ p)),
        "e_norm": float(np.linalg.norm(e)), "g_norm": float(np.linalg.norm(g)),
    }  # fmt: skip


def signs(p: np.ndarray) -> np.ndarray:
    return np.abs(p).mean() * np.where(p >= 0, 1.0, -1.0)


def top(p: np.ndarray) -> np.ndarray:
    kept = np.argsort(-np.abs(p), kind="stable")[: max(1, int(np.ceil(round(0.3 * p.size, 9))))]
    return np.where(np.isin(np.arange(p.size), kept), p, 0.0)


@pytest.mark.parametrize(
    ("compressor", "code"), [(ScaledSign(), signs), (TopK(0.3), top), (Identity(), lambda p: p)], ids=["sign", "top", "all"]
)
@pytest.mark.parametrize("feedback", [True, False], ids=["feedback", "no feedback"])
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_measures_are_their_formulas(compressor: Any, code: Any, feedback: bool, beta: float) -> None:
    gamma, decay = 0.3, 0.01
    params = parameters()
    optimizer = EFSGD(params, gamma, compressor, feedback=feedback, momentum=beta, weight_decay=decay)
    m, e = [np.zeros(p.numel()) for p in params], [np.zeros(p.numel()) for p in params]
    for step in range(3):
        fill(params, step)
        g = [wide(p.grad) for p in params]
        m = [beta * a + b + decay * wide(x) for a, b, x in zip(m, g, params, strict=True)]
        p = [a + gamma * b for a, b in zip(e, m, strict=True)]
        sent = [code(v) for v in p]
        found = measure(optimizer)
        assert list(found) == [*NAMES, "layers"] and list(found["layers"]) == [0, 1, 2, 3]
        for i, row in found["layers"].items():
            assert row == pytest.approx(by_hand(g[i], p[i], sent[i], e[i]), rel=ROUNDING, abs=ROUNDING)
        whole = by_hand(*(np.concatenate(parts) for parts in (g, p, sent, e)))
        assert {name: found[name] for name in NAMES} == pytest.approx(whole, rel=ROUNDING, abs=ROUNDING)
        if isinstance(compressor, ScaledSign):  # Lemma 8: delta is the density of what is compressed
            for row in found["layers"].values():
                assert row["delta"] == pytest.approx(row["density_p"], rel=ROUNDING)
        optimizer.step()
        e = [a - b for a, b in zip(p, sent, strict=True)] if feedback else e
    assert feedback or found["e_norm"] == 0.0


def snapshot(optimizer: EFSGD) -> Any:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return copy.deepcopy((optimizer.state_dict(), [p.detach() for p in params], [p.grad for p in params]))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list | tuple) else bool(a == b)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_measuring_changes_nothing(name: str) -> None:
    runs = []
    for measured in (True, False):
        params = parameters()
        optimizer = algorithms.make(name, params, 0.1)
        random = torch.get_rng_state()
        for step in range(3):
            fill(params, step)
            before = snapshot(optimizer)
            if measured:
                assert measure(optimizer) == measure(optimizer)
            assert same(snapshot(optimizer), before)
            optimizer.step()
        assert torch.equal(torch.get_rng_state(), random)
        runs.append(snapshot(optimizer))
    assert same(*runs)


def test_what_is_measured_of_a_random_compressor_is_what_the_step_sends() -> None:
    params = parameters()
    optimizer = EFSGD(params, 0.1, QSGD(levels=2), seed=5)
    for step in range(3):
        fill(params, step)
        found = measure(optimizer)
        p = [v.clone() for _, v in optimizer.corrected_steps()]
        optimizer.step()
        lost = sum(float(wide(optimizer.state[x]["memory"]) @ wide(optimizer.state[x]["memory"])) for x in params)
        assert found["delta"] == pytest.approx(1 - lost / sum(float(wide(v) @ wide(v)) for v in p), rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_zero_gradients_have_density_zero_and_lose_nothing(name: str) -> None:
    params = [torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(2, 3))]
    for p in params:
        p.grad = torch.zeros_like(p)
    nothing = {"density_g": 0.0, "density_p": 0.0, "delta": 1.0, "e_norm": 0.0, "g_norm": 0.0}
    assert measure(algorithms.make(name, params, 0.1)) == {**nothing, "layers": {0: nothing, 1: nothing}}


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_an_empty_tensor_counts_for_nothing(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.nn.Parameter(torch.randn(9, generator=generator))
    empty = torch.nn.Parameter(torch.zeros(0, 3))
    x.grad, empty.grad = torch.randn(9, generator=generator), torch.zeros(0, 3)
    found, alone = measure(algorithms.make(name, [empty, x], 0.1)), measure(algorithms.make(name, [x], 0.1))
    assert {key: found[key] for key in NAMES} == {key: alone[key] for key in NAMES}
    assert found["layers"][1] == alone["layers"][0] and found["layers"][0]["density_p"] == 0.0


def test_without_gradients_there_is_nothing_but_the_memory() -> None:
    params = parameters()
    optimizer = EFSGD(params, 0.1)
    assert measure(optimizer) == {
        "density_g": 0.0, "density_p": 0.0, "delta": 1.0, "e_norm": 0.0, "g_norm": 0.0, "layers": {},
    }  # fmt: skip
    fill(params, 0)
    optimizer.step()
    norm = float(np.linalg.norm(np.concatenate([wide(optimizer.state[p]["memory"]) for p in params])))
    params[0].grad = None
    found = measure(optimizer)
    assert found["e_norm"] == pytest.approx(norm, rel=1e-12) and list(found["layers"]) == [1, 2, 3]
    assert norm > np.linalg.norm([row["e_norm"] for row in found["layers"].values()])


def test_layers_are_called_as_the_parameters_are() -> None:
    model = torch.nn.Linear(3, 2)
    model(torch.ones(1, 3)).sum().backward()
    assert list(measure(EFSGD(model.named_parameters(), 0.1))["layers"]) == ["weight", "bias"]
    assert list(measure(EFSGD(model.parameters(), 0.1))["layers"]) == [0, 1]


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_density_and_delta_have_no_unit(size: float) -> None:
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    fill(params, 3)
    one = measure(EFSGD(params, 0.1))
    for p in params:
        p.grad *= size
    found = measure(EFSGD(params, 0.1))
    for name in ("density_g", "density_p", "delta"):
        assert found[name] == pytest.approx(one[name], rel=ROUNDING)
    assert found["g_norm"] == pytest.approx(size * one["g_norm"], rel=ROUNDING)
