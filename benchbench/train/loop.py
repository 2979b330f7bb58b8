"""The training loop: one optimiser step for each Batch that the method yields, and nothing of the method's own."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.api import Batch
from benchbench.config import RunConfig
from benchbench.diffusion.full import save_unet
from benchbench.diffusion.lora import save_adapter
from benchbench.diffusion.policy import Cost, summed
from benchbench.errors import RunError
from benchbench.noise import Noise, Sample
from benchbench.report.progress import Progress, progress
from benchbench.store.files import writing
from benchbench.store.layouts import Weights
from benchbench.store.runs import KEPT
from benchbench.train import checkpoint, launch
from benchbench.train.calibration import calibrate
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.interrupt import Interrupt
from benchbench.train.invariants import check_start
from benchbench.train.metrics import Metrics
from benchbench.train.setup import Parts, Say, build, check, claim, rate, run_key, write_run
from benchbench.world import World


def train(
    config: RunConfig,
    out: Path,
    resume: bool = False,
    device: str | None = None,
    say: Say = print,
    store: Path | None = None,
    skip_bad: bool = True,
) -> Path:
    """Trains into the folder ``out`` and returns it; a complete run is left as it is.

    An offline method's pairs are looked up, or made, in ``store``; ``skip_bad`` goes on without a row that is broken.

    Errors: UsageError and MissingError before anything is loaded, CorruptError for checkpoints, RunError for a
    non-finite reward, loss or gradient and a full disk. KeyboardInterrupt leaves a checkpoint that ``resume`` takes up.
    """
    with launch.world(device) as world:
        say = say if world.main else _silent
        with world.together():
            check(config)
            ours = claim(config, out, resume) if world.main else True
        if not all(world.gather(ours)):
            say(f"{out} is complete already; nothing to do")
            return out
        with world.together():
            parts = build(config, device if world.size == 1 else str(world.device), say, store, skip_bad)
            parts.policy.world = world
        try:
            _train(config, parts, out, world, say)
        finally:
            if parts.reader:
                parts.reader.close()
    return out


def _train(config: RunConfig, parts: Parts, out: Path, world: World, say: Say) -> None:
    """The run in its folder; what one process writes there is there for the others, who share it."""
    backbone, pairs = parts.policy.backbone, parts.reader.pairs.hash if parts.reader else None
    world.same("settings, weights, pairs or types", [run_key(config, backbone.hash, pairs), backbone.dtype])
    with world.together():
        if world.main:
            with writing(out):
                out.mkdir(parents=True, exist_ok=True)
            write_run(config, out, backbone.hash, str(backbone.device), pairs, world.size)
            calibrate(parts.reward.reward, parts.policy, parts.prompts, out, say)
    with world.together():
        if not world.main:
            calibrate(parts.reward.reward, parts.policy, parts.prompts, out, say)
        trainer = Trainer(config, parts, out, say)
    world.same("checkpoints", trainer.state.samples)
    world.same_weights(parts.parameters)
    trainer.run()


def _silent(line: str) -> None:
    """What processes other than the first say."""


class Trainer:
    """One run: its objects, its counters and its folder."""

    def __init__(self, config: RunConfig, parts: Parts, out: Path, say: Say) -> None:
        self.config, self.parts, self.out, self.say = config, parts, out, say
        self.noise, self.world = Noise(config.seed, "train"), parts.policy.world
        self.micro_batch = config.train.micro_batch
        key = run_key(config, parts.policy.backbone.hash)
        self.collect = parts.method.collect
        if parts.reader:
            key = run_key(config, parts.policy.backbone.hash, parts.reader.pairs.hash)
            self.collect, parts.reader.out = parts.reader.collect, out
        found = checkpoint.read_latest(out, key, parts.parameters, parts.optimizer, say)
        self.state = found or checkpoint.State(run=key)
        if found:
            say(f"resuming after {found.samples} of {config.samples} samples")
            parts.policy.cost = Cost(**found.cost) if self.world.main else Cost()
            parts.method.load_state(found.method)
        self.metrics = Metrics(out, self.state.metrics_bytes, self.state.samples) if self.world.main else None
        self.evaluation = FixedEvaluation(
            parts.policy, parts.prompts, parts.reward.reward, config.train.eval_images, out
        )

    def run(self) -> None:
        """Rollouts until the samples are made; a checkpoint every ``save_every`` samples and at an interruption."""
        total, state = self.config.samples, self.state
        if state.samples == 0:
            self._evaluate()
        with Interrupt(self.say, 0 if self.world.size == 1 else 5) as interrupt, self._progress() as bar:
            while state.samples < total:
                before = state.samples
                row = self._rollout()
                bar.advance(state.samples - before, f"reward {row['reward']:.3g}" if "reward" in row else "")
                if self._passed(self.config.train.eval_every, before) or state.samples == total:
                    self._evaluate()
                if self._passed(self.config.train.keep_every, before):
                    self._keep()
                asked = any(self.world.gather(interrupt.asked))  # a signal reaches them at different moments
                if asked or self._passed(self.config.train.save_every, before):
                    self._save()
                if asked and state.samples < total:
                    self._close()
                    raise KeyboardInterrupt
        self._close()
        costs = self._costs()
        with self.world.together():
            if self.world.main:
                weights = self._write_weights(self.out)
                done = {"samples": total, "adapter_sha256": weights.hash, "seconds": round(state.seconds, 2)}
                checkpoint.save_done(self.out, {**done, **costs, "constant_images": state.constant_images})

    def _write_weights(self, folder: Path) -> Weights:
        unet = self.parts.policy.backbone.unet
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if self.config.train.finetune == "full":
                return Weights("unet", save_unet(unet, folder))
            return Weights("lora", save_adapter(unet, folder))

    def _progress(self) -> AbstractContextManager[Progress]:
        title = self.config.method
        return progress(self.config.samples, title, "samples", self.state.samples, silent=not self.world.main)

    def _close(self) -> None:
        if self.metrics:
            self.metrics.close()

    def _passed(self, every: int, before: int) -> bool:
        return every > 0 and before // every != self.state.samples // every

    def _rollout(self) -> dict[str, Any]:
        """Collects one rollout and learns from each of its batches; returns the row that it logged."""
        parts, state, started = self.parts, self.state, time.monotonic()
        samples = self._samples()
        names = [f"prompt {s.prompt!r}, sample {s.number}, seed {self.config.seed}" for s in samples]
        sums: dict[str, list[float | Tensor]] = defaultdict(list)
        batches, constant = self.collect(parts.policy, samples, parts.reward, parts.cfg, self.noise), 0
        while True:
            with self.world.together():
                with torch.no_grad(), self.world.divided():
                    item = next(batches, None)
                constant += parts.reward.check(names)
                if item and state.samples == 0 and not sums:
                    check_start(parts.policy, item[0], parts.method, parts.cfg, self.noise)
            if item is None:
                break
            batch, metrics = item
            for name, value in {**metrics, **self._learn(batch)}.items():
                sums[name].append(value)
        state.constant_images += sum(self.world.gather(constant))
        images, seconds = len(samples) * parts.method.images(parts.cfg), time.monotonic() - started
        state.samples += images
        state.seconds += seconds
        row = {name: sum(float(v) for v in values) / len(values) for name, values in sums.items()}
        row |= {"seconds": round(state.seconds, 3), "images_per_second": round(images / seconds, 3), **self._costs()}
        self._log(row)
        return row

    def _log(self, row: dict[str, Any]) -> None:
        with self.world.together():
            if self.metrics:
                self.metrics.row(self.state.samples, row)

    def _samples(self) -> list[Sample]:
        """The next rollout's samples; each sample's prompt is a function of the seed and its number alone."""
        per = self.parts.method.images(self.parts.cfg)
        start, prompts = self.state.samples // per, self.parts.prompts.prompts
        stop = min(start + max(1, self.config.train.batch // per), self.config.samples // per)
        drawn = [(i, self.noise.integer(len(prompts), "prompt", i)) for i in range(start, stop)]
        return [Sample(prompts[index], i, index) for i, index in drawn]

    def _learn(self, batch: Batch) -> dict[str, float | Tensor]:
        """One optimiser step on the mean loss over the batch, of which each process takes its share of the rows."""
        with self.world.together():
            sums = self._with_room(batch)
        self.world.sum_gradients(self.parts.parameters)
        return self._update(self.world.totals(sums))

    def _with_room(self, batch: Batch) -> dict[str, float | Tensor]:
        """Gradients and metrics of a batch; out of memory halves the micro-batch and goes on.

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
        """Gradients of this process's rows, and their part of the metrics."""
        parts, n, mine = self.parts, len(batch), self.world.share(len(batch))
        parts.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float | Tensor] = defaultdict(float)
        for i in range(mine.start, mine.stop, self.micro_batch):
            rows = batch[i : min(i + self.micro_batch, mine.stop)]
            loss, metrics = parts.method.loss(parts.policy, rows, parts.cfg, self.noise)
            share = len(rows) / n  # a mean over the batch, however it is cut
            (loss * share).backward()
            for name, value in {"loss": loss.detach(), **metrics}.items():
                sums[name] += value * share
        return sums

    def _update(self, sums: dict[str, float | Tensor]) -> dict[str, float | Tensor]:
        parts = self.parts
        norm = torch.nn.utils.clip_grad_norm_(parts.parameters, self.config.train.grad_clip)
        if not math.isfinite(float(norm) + float(sums["loss"])):
            first = self.state.samples
            raise RunError(
                f"loss {float(sums['loss']):.3g} and gradient norm {float(norm):.3g} are not finite",
                f"in the rollout after sample {first}, seed {self.config.seed}; the step was not taken",
                "lower train.lr, or use --set train.dtype=fp32; the last checkpoint stays",
            )
        for group in parts.optimizer.param_groups:
            group["lr"] = rate(self.config.train, self.state.updates)
        parts.optimizer.step()
        self.state.updates += 1
        return {**sums, "grad_norm": norm}

    def _evaluate(self) -> None:
        with self.world.together():
            seen = self.evaluation(first=self.state.samples == 0)
        self._log({**seen, "seconds": round(self.state.seconds, 3), **self._costs()})

    def _costs(self) -> dict[str, float]:
        cost = summed(self.world.gather(asdict(self.parts.policy.cost)))
        return {**asdict(cost), "nfe": cost.nfe}

    def _keep(self) -> None:
        """Weights to be looked at later, beside those that the run ends with."""
        with self.world.together():
            if self.world.main:
                self._write_weights(self.out / KEPT / f"{self.state.samples:08d}")

    def _save(self) -> None:
        parts, state, costs = self.parts, self.state, self._costs()
        self.world.same_weights(parts.parameters)
        with self.world.together():
            if self.metrics:
                state.metrics_bytes, state.method = self.metrics.bytes, parts.method.state()
                state.cost = {name: int(n) for name, n in costs.items() if name != "nfe"}
                checkpoint.write(self.out, state, parts.parameters, parts.optimizer)
