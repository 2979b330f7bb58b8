"""A run decides on precision and memory use from its device, and keeps the decision when it is resumed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbench.config import load
from benchbench.errors import CorruptError, MissingError, RunError, UsageError
from benchbench.methods.tailorpo import TailorPO
from benchbench.train import loop, memory_cache, memory_child, resolved
from benchbench.train.loop import train
from benchbench.train.memory_plan import MemoryPlan, plans
from benchbench.train.resolved import Resolved, agree, resolve
from benchbench.train.trainer import Trainer

ADAPTER = "pytorch_lora_weights.safetensors"


def quiet(_: str) -> None:
    pass


def decided(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())["resolved"]


def interrupted_after(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer._rollout

    def rollout(self: Trainer):
        if self.state.samples == samples:
            raise KeyboardInterrupt
        return plain(self)

    monkeypatch.setattr(Trainer, "_rollout", rollout)


@pytest.mark.parametrize(
    ("method", "major", "expected"),
    [
        ("tailorpo", 9, "bf16"),
        ("tailorpo", 7, "fp16"),  # a card without bf16
        ("ddpo", 9, "fp32"),
        ("diffusion-kto", 9, "fp16"),
    ],
)
def test_auto_is_the_method_s_on_a_gpu(
    method: str, major: int, expected: str, monkeypatch: pytest.MonkeyPatch, configure
) -> None:
    """The method's precision is used, and TF32 for rewards where the card has it; the plan is for the card's memory."""
    card = type("Card", (), {"total_memory": 24 * 2**30, "major": major, "minor": 0})
    requests: list[Any] = []

    def fake_plan(config: Any, totals: list[int], dtype: str | None, log: Any) -> list[MemoryPlan]:
        requests.append((totals, dtype))
        return [MemoryPlan(4, True, 2, 8, 8, 20 * 2**30)]

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (major, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: major >= 8)
    monkeypatch.setattr(resolved, "plans_in_child", fake_plan)
    config = load(method, "shapes", "shapes-colour", "animals", 32, 0, "shapes", [])
    decision = resolve(config, torch.device("cuda"))
    assert (decision.dtype, decision.reward_dtype) == (expected, "tf32" if major >= 8 else "fp32")
    assert requests == [([24 * 2**30], expected)]
    assert (decision.micro_batch, decision.gradient_checkpointing, decision.guidance_rows, decision.walk_rows) == (
        4,
        True,
        2,
        8,
    )
    assert "4 rows at a time" in decision.summary and "20.0 GiB" in decision.summary and "twice" in decision.summary


def test_a_failed_estimate_leaves_the_settings(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed estimate ends no run, since training copes with too little memory by itself."""
    monkeypatch.setattr(memory_child, "SECONDS", 0.01)
    config = configure("tailorpo")
    with pytest.raises(RunError, match="could not be estimated"):
        memory_child.plans_in_child(config, [2**34])
    decision = resolve(config, torch.device("cpu"), total_bytes=2**34)
    assert (decision.micro_batch, decision.gradient_checkpointing, decision.peak_bytes) == (40, False, None)


def test_a_plan_from_the_child_is_the_plan(configure) -> None:
    """The child process returns the plan, and its errors are raised unchanged."""
    config = configure("tailorpo", reward="jpeg_compressibility")
    assert memory_child.plans_in_child(config, [2**34, 2**35], "bf16") == plans(config, [2**34, 2**35], "bf16")
    with pytest.raises(MissingError, match="no-such-model"):
        memory_child.plans_in_child(config.model_copy(update={"model": "no/no-such-model"}), [2**34])


def test_a_plan_is_estimated_once(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed and another number of samples have the same plan; a damaged file is made again."""
    made: list[Any] = []

    def estimated(config: Any, totals: list[int], dtype: str | None) -> list[MemoryPlan]:
        made.append((config.method, totals, dtype))
        return [MemoryPlan(4, True, None, 8, 8, 20 * 2**30) for _ in totals]

    monkeypatch.setattr(memory_child, "_estimated", estimated)
    config, logged = configure("tailorpo"), []

    def plan(config: Any, totals: tuple[int, ...] = (2**34,), dtype: str = "bf16") -> list[MemoryPlan]:
        return memory_child.plans_in_child(config, totals, dtype, logged.append)

    first = plan(config)
    assert plan(config) == plan(config.model_copy(update={"seed": 7, "samples": 99})) == first
    assert len(made) == len(logged) == 1 and "estimating" in logged[0]
    for change in ({"config": configure("ddpo")}, {"totals": (2**34, 2**35)}, {"dtype": "fp16"}):
        plan(**({"config": config} | change))
    assert len(made) == 4
    file = memory_cache.plan_file(config, (2**34,), "bf16")
    file.write_text(file.read_text().replace('"micro_batch": 4', '"micro_batch": 8'))
    assert plan(config) == first and len(made) == 5


def test_on_a_cpu_nothing_is_cut(configure) -> None:
    decision = resolve(configure("ddpo"), torch.device("cpu"))
    assert (decision.dtype, decision.reward_dtype, decision.micro_batch, decision.summary) == ("fp32", "fp32", 40, "")


@pytest.mark.parametrize("name", ["dtype", "reward_dtype"])
def test_tf32_is_refused_where_there_is_none(name: str, configure, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"train.{name}=tf32 cannot be used on cpu") as error:
        train(configure("tailorpo", f"train.{name}=tf32"), tmp_path / "run", log=quiet)
    assert "fp32" in error.value.remedy and not (tmp_path / "run").exists()


def test_how_memory_is_used_is_no_part_of_a_run_s_identity(
    configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run interrupted at 40 rows and resumed with 3 rows and other checkpoints is the same run, and keeps 40."""
    first, fewer_rows = configure("tailorpo", samples=16), configure("tailorpo", "train.micro_batch=3", samples=16)
    saved = fewer_rows.train.model_copy(update={"save_every": 5, "save_minutes": 1.0})
    resumed = fewer_rows.model_copy(update={"train": saved})
    assert first.digest == fewer_rows.digest == resumed.digest
    assert first.digest != configure("tailorpo", "train.dtype=bf16", samples=16).digest
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted_after(8, patch)
        train(first, tmp_path / "run", log=quiet)
    train(resumed, tmp_path / "run", resume=True, log=quiet)
    train(first, tmp_path / "whole", log=quiet)
    assert decided(tmp_path / "run")["micro_batch"] == 40
    assert (tmp_path / "run" / ADAPTER).read_bytes() == (tmp_path / "whole" / ADAPTER).read_bytes()


def test_a_resumed_run_keeps_its_precision(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that started in bf16, as ``auto`` does on a GPU, stays in bf16 where ``auto`` would be fp32."""
    config = configure("tailorpo", "train.eval_every=0", samples=16)
    dtypes: list[str] = []
    build = Trainer.__init__

    def init(self: Trainer, config: Any, decision: Resolved, *rest: Any) -> None:
        dtypes.append(decision.dtype)
        build(self, config, decision, *rest)

    monkeypatch.setattr(Trainer, "__init__", init)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "resolve", lambda *_: Resolved("bf16", "fp32", 16))
        interrupted_after(8, patch)
        train(config, tmp_path / "run", log=quiet)
    train(config, tmp_path / "run", resume=True, log=quiet)
    assert dtypes == ["bf16", "bf16"] and decided(tmp_path / "run")["dtype"] == "bf16"


def test_out_of_memory_is_remembered(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run starts with the micro-batch that fitted, so that it does not fail again."""
    config = configure("tailorpo", "train.eval_every=0", samples=16)
    loss, failed = TailorPO.loss, []

    def full(self: Any, policy: Any, batch: Any, *rest: Any) -> Any:
        if len(batch) > 10:
            failed.append(len(batch))
            raise torch.OutOfMemoryError("no room")
        return loss(self, policy, batch, *rest)

    monkeypatch.setattr(TailorPO, "loss", full)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted_after(8, patch)
        train(config, tmp_path / "run", log=quiet)
    assert failed == [40, 20] and decided(tmp_path / "run")["micro_batch"] == 10
    train(config, tmp_path / "run", resume=True, log=quiet)
    assert failed == [40, 20]


def test_processes_agree_on_the_smallest_parts() -> None:
    cards = [
        Resolved("bf16", "tf32", 8, False, 16, 16, None, 30 * 2**30),
        Resolved("bf16", "tf32", 4, True, 16, 8, None, 20 * 2**30),
    ]
    decision = agree([asdict(card) for card in cards])
    assert (decision.micro_batch, decision.gradient_checkpointing, decision.walk_rows, decision.decode_rows) == (
        4,
        True,
        16,
        8,
    )
    assert decision.guidance_rows is None and decision.identity == ["bf16", "tf32"]


def test_a_run_json_that_does_not_say(tmp_path: Path) -> None:
    assert resolved.read(tmp_path) is None
    for text, problem in (
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "in which precision"),
        ('{"resolved": {"dtype": "fp32"}}', "in which precision"),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(CorruptError, match=problem):
            resolved.read(tmp_path)
