"""Half precision, TF32 and memory as only a GPU can show them; small, so that a machine with one runs it in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchbench.config import load
from benchbench.diffusion import backbones
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import make_policy
from benchbench.noise import Noise, Sample
from benchbench.runtime.memory import Splitter
from benchbench.runtime.precision import arithmetic
from benchbench.store.metrics import read_metrics
from benchbench.train import resolved
from benchbench.train.loop import train
from benchbench.train.memory_plan import MemoryPlan
from tests.gpu.models import move_adapter
from tests.tiny import write_tiny_sd

DEVICE = "cuda"
pytestmark = pytest.mark.gpu


@pytest.fixture
def tiny_sd(tmp_path: Path) -> Path:
    return write_tiny_sd(tmp_path / "sd")


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("method", ["ddpo", "tailorpo-g"])
def test_a_run_in_each_precision(
    method: str, dtype: str, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory plan is given, since its estimate takes a quarter of a minute and has tests of its own."""
    monkeypatch.setattr(resolved, "plans_in_child", lambda *_: [MemoryPlan(2, False, 2, 2, 2)])
    words = ["train.batch=2", "train.eval_every=0", f"train.dtype={dtype}", "method.steps=[20, 4]"]
    words += ["method.minibatch=2"] if method == "ddpo" else []
    config = load(method, str(tiny_sd), "shapes-colour", "animals", 4, 0, "shapes", words)
    rows = read_metrics(train(config, tmp_path / "run", device=DEVICE, log=lambda _: None))
    assert rows[-1]["grad_norm"] > 0
    if dtype == "fp16":
        assert rows[-1]["loss_scale"] <= 2.0**16 and rows[-1]["skipped_steps"] < 1


def test_the_low_rank_path_is_pefts(tiny_sd: Path) -> None:
    """The prediction with an adapter in bf16 is as near to fp32's as bf16 rounds, and an adapter's effect is larger."""
    made = {}
    for dtype in ("fp32", "bf16"):
        policy = make_policy(backbones.load(str(tiny_sd), DEVICE, dtype), 20, 1.0, 5.0)
        add_lora(policy.backbone.network, 4, 4.0, seed=0)
        move_adapter(policy.backbone.network, 0.5)
        x = Noise(0, "t").normal([Sample("cat", i) for i in range(2)], "x", shape=(4, 8, 8), device=DEVICE)
        tau, cond = torch.tensor([500, 500], device=DEVICE), policy.encode(["cat", "dog"])
        with torch.no_grad():
            made[dtype] = policy.predict(x, tau, cond), policy.reference_predict(x, tau, cond)
    error = float((made["bf16"][0] - made["fp32"][0]).abs().mean())
    effect = float((made["fp32"][0] - made["fp32"][1]).abs().mean())
    assert error < 0.02 * float(made["fp32"][0].abs().mean()) and effect > 2 * error


def test_tf32_is_on_where_it_is_asked_for_and_nowhere_else() -> None:
    """Ten bits of mantissa show against float64, float32's 23 do not; on a card without TF32 nothing changes."""
    a = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    exact = a.double() @ a.double()

    def error() -> float:
        return float((a @ a - exact).abs().max())

    with arithmetic("fp32", a.device):
        fine = error()
        with arithmetic("tf32", a.device):
            coarse = error()
        assert error() == pytest.approx(fine)
    has_tf32 = torch.cuda.get_device_capability()[0] >= 8
    assert coarse > 30 * fine if has_tf32 else coarse == pytest.approx(fine)


def test_a_device_that_is_full_halves_the_rows() -> None:
    """Half a gibibyte a row under a limit of a little more than two rows: eight rows go through in pairs or singly."""
    row, total = 2**27, torch.cuda.get_device_properties(0).total_memory  # float32 numbers
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_allocated() + 9 * row) / total))
    try:
        split = Splitter("trying", None)
        sizes: list[int] = []

        def run(rows: slice) -> torch.Tensor:
            made = torch.ones(rows.stop - rows.start, row, device=DEVICE)
            sizes.append(len(made))
            return made.sum(1)

        assert split(run, 8).tolist() == [float(row)] * 8
        assert set(sizes) <= {1, 2} and torch.cuda.memory_stats()["num_ooms"] > 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
