"""The training loop: one optimiser step for each Batch that the method yields, and nothing of the method's own."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.api import Batch, ImagePairs
from benchbench.config import RunConfig
from benchbench.diffusion.lora import save_adapter
from benchbench.diffusion.policy import Cost
from benchbench.errors import RunError
from benchbench.noise import Noise, Sample
from benchbench.report.progress import progress
from benchbench.store.files import writing
from benchbench.store.keys import file_sha256
from benchbench.train import checkpoint
from benchbench.train.calibration import calibrate
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.interrupt import Interrupt
from benchbench.train.invariants import check_start
from benchbench.train.metrics import Metrics
from benchbench.train.setup import Parts, Say, build, check, claim, run_key, write_run


def train(config: RunConfig, out: Path, resume: bool = False, device: str | None = None, say: Say = print) -> Path:
    """Trains into the folder ``out`` and returns it; a complete run is left as it is.

    Errors: UsageError and MissingError before anything is loaded, CorruptError for checkpoints, RunError for a
    non-finite reward, loss or gradient and a full disk. KeyboardInterrupt leaves a checkpoint that ``resume`` takes up.
    """
    check(config)
    if not claim(config, out, resume):
        say(f"{out} is complete already; nothing to do")
        return out
    parts = build(config, device, say)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_run(config, out, parts.policy.backbone.hash, str(parts.policy.backbone.device))
    calibrate(parts.reward.reward, parts.policy, parts.prompts, out, say)
    Trainer(config, parts, out, say).run()
    return out


class Trainer:
    """One run: its objects, its counters and its folder."""

    def __init__(self, config: RunConfig, parts: Parts, out: Path, say: Say) -> None:
        self.config, self.parts, self.out, self.say = config, parts, out, say
        self.noise = Noise(config.seed, "train")
        self.micro_batch = config.train.micro_batch
        key = run_key(config, parts.policy.backbone.hash)
        found = checkpoint.read_latest(out, key, parts.parameters, parts.optimizer, say)
        self.state = found or checkpoint.State(run=key)
        if found:
            say(f"resuming after {found.samples} of {config.samples} samples")
            parts.policy.cost = Cost(**found.cost)
            parts.method.load_state(found.method)
        self.metrics = Metrics(out, self.state.metrics_bytes, self.state.samples)
        self.evaluation = FixedEvaluation(parts.policy, parts.prompts, parts.reward.reward, config.train.eval_images)

    def run(self) -> None:
        """Rollouts until the samples are made; a checkpoint every ``save_every`` samples and at an interruption."""
        total, state = self.config.samples, self.state
        if state.samples == 0:
            self._evaluate()
        with Interrupt(self.say) as interrupt, progress(total, self.config.method, "samples", state.samples) as bar:
            while state.samples < total:
                before = state.samples
                row = self._rollout()
                bar.advance(state.samples - before, f"reward {row['reward']:.3g}" if "reward" in row else "")
                if self._passed(self.config.train.eval_every, before) or state.samples == total:
                    self._evaluate()
                if interrupt.asked or self._passed(self.config.train.save_every, before):
                    self._save()
                if interrupt.asked and state.samples < total:
                    self.metrics.close()
                    raise KeyboardInterrupt
        self.metrics.close()
        with writing(self.out):
            file = save_adapter(self.parts.policy.backbone.unet, self.out)
        done = {"samples": total, "adapter_sha256": file_sha256(file), "seconds": round(state.seconds, 2)}
        checkpoint.save_done(self.out, {**done, **self._costs(), "constant_images": state.constant_images})

    def _passed(self, every: int, before: int) -> bool:
        return every > 0 and before // every != self.state.samples // every

    def _rollout(self) -> dict[str, Any]:
        """Collects one rollout and learns from each of its batches; returns the row that it logged."""
        parts, state, started = self.parts, self.state, time.monotonic()
        samples = self._samples()
        names = [f"prompt {s.prompt!r}, sample {s.number}, seed {self.config.seed}" for s in samples]
        sums: dict[str, list[float | Tensor]] = defaultdict(list)
        batches = parts.method.collect(parts.policy, samples, parts.reward, parts.cfg, self.noise)
        while True:
            with torch.no_grad():
                item = next(batches, None)
            state.constant_images += parts.reward.check(names)
            if item is None:
                break
            batch, metrics = item
            if state.samples == 0 and not sums and not isinstance(batch, ImagePairs):
                check_start(parts.policy, batch)
            for name, value in {**metrics, **self._learn(batch)}.items():
                sums[name].append(value)
        images, seconds = len(samples) * parts.method.images(parts.cfg), time.monotonic() - started
        state.samples += images
        state.seconds += seconds
        row = {name: sum(float(v) for v in values) / len(values) for name, values in sums.items()}
        row |= {"seconds": round(state.seconds, 3), "images_per_second": round(images / seconds, 3), **self._costs()}
        self.metrics.row(state.samples, row)
        return row

    def _samples(self) -> list[Sample]:
        """The next rollout's samples; each sample's prompt is a function of the seed and its number alone."""
        per = self.parts.method.images(self.parts.cfg)
        start, prompts = self.state.samples // per, self.parts.prompts.prompts
        stop = min(start + max(1, self.config.train.batch // per), self.config.samples // per)
        drawn = [(i, self.noise.integer(len(prompts), "prompt", i)) for i in range(start, stop)]
        return [Sample(prompts[index], i, index) for i, index in drawn]

    def _learn(self, batch: Batch) -> dict[str, float | Tensor]:
        """One optimiser step on the mean loss over the batch; out of memory halves the micro-batch and goes on.

        Where one row is too many, its activations are worked out twice and not kept, which takes a third more time.
        """
        policy = self.parts.policy
        unet = policy.backbone.unet
        while True:
            spent = replace(policy.cost)
            try:
                return self._step(batch)
            except torch.OutOfMemoryError as error:
                if self.micro_batch == 1 and unet.is_gradient_checkpointing:
                    raise RunError(
                        "out of memory with one row at a time",
                        str(error).splitlines()[0],
                        "use a smaller model or dtype",
                    ) from error
            # outside the handler: the exception's traceback would keep the failed step's tensors alive
            policy.cost = spent  # what failed is done again
            self.parts.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            if self.micro_batch == 1:
                unet.enable_gradient_checkpointing()
                self.say("out of memory: going on without keeping activations (gradient checkpointing)")
            else:
                self.micro_batch //= 2
                self.say(f"out of memory: going on with {self.micro_batch} rows at a time")

    def _step(self, batch: Batch) -> dict[str, float | Tensor]:
        parts, n = self.parts, len(batch)
        parts.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float | Tensor] = defaultdict(float)
        for i in range(0, n, self.micro_batch):
            rows = batch[i : i + self.micro_batch]
            loss, metrics = parts.method.loss(parts.policy, rows, parts.cfg, self.noise)
            share = len(rows) / n  # a mean over the batch, however it is cut
            (loss * share).backward()
            for name, value in {"loss": loss.detach(), **metrics}.items():
                sums[name] += value * share
        norm = torch.nn.utils.clip_grad_norm_(parts.parameters, self.config.train.grad_clip)
        if not math.isfinite(float(norm) + float(sums["loss"])):
            first = self.state.samples
            raise RunError(
                f"loss {float(sums['loss']):.3g} and gradient norm {float(norm):.3g} are not finite",
                f"in the rollout after sample {first}, seed {self.config.seed}; the step was not taken",
                "lower train.lr, or use --set train.dtype=fp32; the last checkpoint stays",
            )
        parts.optimizer.step()
        return {**sums, "grad_norm": norm}

    def _evaluate(self) -> None:
        self.metrics.row(
            self.state.samples, {**self.evaluation(), "seconds": round(self.state.seconds, 3), **self._costs()}
        )

    def _costs(self) -> dict[str, int]:
        cost = self.parts.policy.cost
        return {**asdict(cost), "nfe": cost.nfe}

    def _save(self) -> None:
        parts, state = self.parts, self.state
        state.metrics_bytes, state.cost, state.method = (
            self.metrics.bytes,
            asdict(parts.policy.cost),
            parts.method.state(),
        )
        checkpoint.write(self.out, state, parts.parameters, parts.optimizer)
