"""The training loop of a run: one optimizer step for each Batch that the method yields."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.config import RunConfig
from benchbench.diffusion.cost import Cost, sum_costs
from benchbench.diffusion.finetuned import save_network
from benchbench.diffusion.lora import save_adapter
from benchbench.diffusion.weight_copy import averaging_decay
from benchbench.errors import RunError
from benchbench.hub.weights import Weights
from benchbench.noise import Noise, Sample
from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log, replacing_folder, sweep
from benchbench.runtime.interrupt import Interrupt
from benchbench.runtime.memory import Splitter, recompute_activations
from benchbench.runtime.progress import Progress, progress
from benchbench.runtime.sealed import write_sealed
from benchbench.store.metrics import MetricsWriter
from benchbench.store.runs import KEPT_FILE, KEPT_FOLDER
from benchbench.train import checkpoint, method_calls
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.first_step import measure_rounding
from benchbench.train.invariants import check_start
from benchbench.train.loss_scale import LossScale
from benchbench.train.optimizer import rate
from benchbench.train.resolved import Resolved, record_memory_use
from benchbench.train.run_folder import run_key
from benchbench.train.setup import Parts
from benchbench.train.trackers import Trackers
from benchbench.types import Batch


class Trainer:
    """Trains one run: holds its objects and counters, and writes its metrics, checkpoints and weights into ``out``."""

    def __init__(self, config: RunConfig, resolved: Resolved, parts: Parts, out: Path, log: Log) -> None:
        self.config, self.parts, self.out, self.log = config, parts, out, log
        self.noise, self.processes = Noise(config.seed, "train"), parts.policy.processes
        self.splitter = Splitter(
            "in training",
            resolved.micro_batch,
            graph=True,
            log=log,
            on_lowered=self._rows_changed,
            last_resort=lambda: recompute_activations(parts.policy.backbone.network),
            remedy="use a smaller model, or --set train.dtype=bf16 where it is fp32",
        )
        parts.policy.rows_at_once = resolved.micro_batch
        parts.step_reward.guiding.log = log
        self.loss_scale = LossScale(enabled=resolved.dtype == "fp16")
        pairs = parts.reader.pairs.hash if parts.reader else None
        key = run_key(config, resolved, parts.policy.backbone.hash, pairs)
        self.collect = parts.method.collect
        if parts.reader:
            self.collect, parts.reader.out = parts.reader.collect, out
        saved = checkpoint.read_latest(out, key, parts.parameters, parts.optimizer, log, parts.identity, parts.copies)
        self.state = saved or checkpoint.State(run=key)
        self.state.inputs = dict(parts.identity)
        if saved:
            log(f"resuming after {saved.samples} of {config.samples} samples")
            parts.policy.cost = Cost(**saved.cost) if self.processes.is_main else Cost()
            method_calls.load_state(parts.method, saved.method)
            self.loss_scale.load_state(saved.loss_scale)
        self.last_save = time.monotonic()
        self.trackers: Trackers | None = None
        self.metrics: MetricsWriter | None = None
        if self.processes.is_main:
            self.metrics = MetricsWriter(out, self.state.metrics_bytes, self.state.samples, log)
        self.evaluation = FixedEvaluation(
            parts.policy, parts.prompts, parts.step_reward.reward, config.train.eval_images, out
        )

    @property
    def micro_batch(self) -> int:
        """The number of rows whose gradients are computed at a time."""
        assert self.splitter.size
        return self.splitter.size

    def _rows_changed(self, size: int) -> None:
        """Takes over a micro-batch that was halved after out of memory, also for when the run is resumed."""
        self.parts.policy.rows_at_once = size
        if self.processes.is_main:
            record_memory_use(self.out, size, self.parts.policy.backbone.network.is_gradient_checkpointing)

    def run(self) -> None:
        """Trains until all samples are generated; saves a checkpoint now and then, when interrupted and at the end.

        Errors: KeyboardInterrupt after the checkpoint of an interrupted run; RunError as ``loop.train`` says.
        """
        total, state = self.config.samples, self.state
        if state.samples == 0 and self.evaluates:
            self._evaluate()
        with Interrupt(self.log, 0 if self.processes.size == 1 else 5) as interrupt, self._progress() as bar:
            while state.samples < total:
                before, updates = state.samples, state.updates
                row = self._rollout()
                bar.advance(state.samples - before, f"reward {row['reward']:.3g}" if "reward" in row else "")
                if self.evaluates and (self._evaluation_is_due(before, updates) or state.samples == total):
                    self._evaluate()
                if self._passes(self.config.train.keep_every, before):
                    self._keep_weights()
                interrupted = any(
                    self.processes.gather(interrupt.requested)
                )  # a signal reaches them at different moments
                if interrupted or state.samples == total or self._checkpoint_is_due(before):
                    self._save()
                if interrupted and state.samples < total:
                    self._close()
                    raise KeyboardInterrupt
        self._close()
        costs = self._costs()
        with self.processes.raise_on_all():
            if self.processes.is_main:
                weights = self._write_weights(self.out)
                done = {"samples": total, "adapter_sha256": weights.hash, "seconds": round(state.seconds, 2)}
                checkpoint.save_done(self.out, {**done, **costs, "constant_images": state.constant_images})

    def _averaged(self) -> AbstractContextManager[None]:
        """Returns a context in which the policy has the running average of its weights, where the run keeps one."""
        return self.parts.average.used() if self.parts.average else nullcontext()

    def _write_weights(self, folder: Path) -> Weights:
        network = self.parts.policy.backbone.network
        with writing(folder), self._averaged():
            folder.mkdir(parents=True, exist_ok=True)
            if self.config.train.finetune == "full":
                return Weights("unet", save_network(network, folder))
            return Weights("lora", save_adapter(network, folder))

    def _progress(self) -> AbstractContextManager[Progress]:
        title = self.config.method
        return progress(self.config.samples, title, "samples", self.state.samples, silent=not self.processes.is_main)

    def _close(self) -> None:
        if self.metrics:
            self.metrics.close()

    @property
    def evaluates(self) -> bool:
        """True for a run that evaluates on fixed prompts and noise: at its start, at intervals, and at its end."""
        return self.config.train.eval_every > 0

    def _evaluation_is_due(self, samples: int, updates: int) -> bool:
        steps = self.config.train.eval_steps
        if steps:
            return updates // steps != self.state.updates // steps
        return self._passes(self.config.train.eval_every, samples)

    def _checkpoint_is_due(self, samples: int) -> bool:
        """Returns True every ``save_every`` samples, and after ``save_minutes`` on the main process's clock."""
        if self._passes(self.config.train.save_every, samples):
            return True
        late = time.monotonic() - self.last_save > 60 * self.config.train.save_minutes
        return bool(self.processes.gather(late)[0])

    def _passes(self, every: int, before: int) -> bool:
        """Returns True where the samples, ``before`` so far, have passed a multiple of ``every`` since."""
        return every > 0 and before // every != self.state.samples // every

    def _rollout(self) -> dict[str, Any]:
        """Collects one rollout, takes an optimizer step on each of its batches, and returns the logged metrics."""
        parts, state, started = self.parts, self.state, time.monotonic()
        samples = self._samples()
        names = [f"prompt {s.prompt!r}, sample {s.number}, seed {self.config.seed}" for s in samples]
        sums: dict[str, list[float | Tensor]] = defaultdict(list)
        collect = partial(self.collect, parts.policy, samples, parts.step_reward, parts.cfg, self.noise)
        batches, constant = method_calls.batches(parts.method, collect), 0
        while True:
            with self.processes.raise_on_all():
                try:
                    with torch.no_grad(), self.processes.sharded():
                        item = next(batches, None)
                finally:  # a score that is not finite may be why the method failed
                    constant += parts.step_reward.check(names)
            if item and state.samples == 0 and not sums:
                sums.update({name: [value] for name, value in self._check_first_batch(item[0]).items()})
            if item is None:
                break
            batch, metrics = item
            for name, value in {**metrics, **self._learn(batch)}.items():
                sums[name].append(value)
        self._move_old_policy()
        state.constant_images += sum(self.processes.gather(constant))
        images, seconds = len(samples) * parts.method.images(parts.cfg), time.monotonic() - started
        state.samples += images
        state.seconds += seconds
        row = {name: sum(float(v) for v in values) / len(values) for name, values in sums.items()}
        row |= {"seconds": round(state.seconds, 3), "images_per_second": round(images / seconds, 3), **self._costs()}
        self._log(row)
        return row

    def _move_old_policy(self) -> None:
        """Moves the old policy towards the trained one, at the end of a rollout, by the method's decay."""
        old = self.parts.policy.old_weights
        if old:
            old.follow(method_calls.old_decay(self.parts.method, self.parts.cfg, self.state.updates))

    def _check_first_batch(self, batch: Batch) -> dict[str, float]:
        """Checks that the policy still is the base model, and returns the metrics of ``measure_rounding``."""
        parts = self.parts
        with self.processes.raise_on_all():
            check_start(parts.policy, batch, parts.method, parts.cfg, self.noise)
        with self.processes.raise_on_all():
            return measure_rounding(parts.policy, batch, parts.method, parts.cfg, self.noise, self.log)

    def _log(self, row: dict[str, Any]) -> None:
        with self.processes.raise_on_all():
            if self.metrics:
                self.metrics.row(self.state.samples, row)
        if self.trackers:
            self.trackers.row(self.state.samples, row)

    def _samples(self) -> list[Sample]:
        """Returns the samples of the next rollout. A sample's prompt depends only on the seed and its number."""
        images = self.parts.method.images(self.parts.cfg)
        start, prompts = self.state.samples // images, self.parts.prompts.prompts
        stop = min(start + max(1, self.config.train.batch // images), self.config.samples // images)
        indices = [(i, self.noise.integer(len(prompts), "prompt", i)) for i in range(start, stop)]
        return [Sample(prompts[index], i, index) for i, index in indices]

    def _learn(self, batch: Batch) -> dict[str, float | Tensor]:
        """Takes an optimizer step on the batch's mean loss, each process on its share of the rows; returns metrics."""
        with self.processes.raise_on_all():
            sums = self._gradients(batch)
        self.processes.sum_gradients(self.parts.parameters)
        return self._update(self.processes.totals(sums))

    def _gradients(self, batch: Batch) -> dict[str, float | Tensor]:
        """Computes this process's gradients of a batch, halving the micro-batch after out of memory.

        Where one row is too many, gradient checkpointing is turned on, which takes a third more time.
        """

        def step() -> dict[str, float | Tensor]:
            with self.parts.policy.attempt():
                return self._step(batch)

        local = self.processes.local_slice(len(batch))
        return self.splitter.with_restarts(step, local.stop - local.start)

    def _step(self, batch: Batch) -> dict[str, float | Tensor]:
        """Computes the gradients of this process's rows; returns their share of the loss and the metrics."""
        parts, n, local = self.parts, len(batch), self.processes.local_slice(len(batch))
        parts.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float | Tensor] = defaultdict(float)
        for i in range(local.start, local.stop, self.micro_batch):
            rows = batch[i : min(i + self.micro_batch, local.stop)]
            loss, metrics = method_calls.loss(parts.method, parts.policy, rows, parts.cfg, self.noise)
            share = len(rows) / n  # so that the shares add up to the mean over the batch, however it is split
            with parts.policy.arithmetic():
                self.loss_scale(loss * share).backward()
            for name, value in {"loss": loss.detach(), **metrics}.items():
                sums[name] += value * share
        return sums

    def _update(self, sums: dict[str, float | Tensor]) -> dict[str, float | Tensor]:
        """Clips the summed gradients, takes the optimizer step and returns its metrics.

        A step that the loss scale skips returns no loss and is not counted. Errors: RunError for a loss or gradient
        that is not finite.
        """
        parts = self.parts
        self.loss_scale.unscale(parts.parameters)
        norm = torch.nn.utils.clip_grad_norm_(parts.parameters, self.config.train.grad_clip)
        finite = math.isfinite(float(norm) + float(sums["loss"]))
        where = f"in the rollout after sample {self.state.samples}, seed {self.config.seed}"
        if not finite and not self.loss_scale.enabled:
            raise RunError(
                f"loss {float(sums['loss']):.3g} and gradient norm {float(norm):.3g} are not finite",
                f"{where}; the step was not taken",
                "lower train.lr, or use --set train.dtype=fp32; the last checkpoint is kept"
                + method_calls.hint(parts.method),
            )
        if not self.loss_scale.accept(finite, where):
            return {"skipped_steps": 1.0, "loss_scale": self.loss_scale.scale}
        for group in parts.optimizer.param_groups:
            group["lr"] = rate(self.config.train, self.state.updates)
        parts.optimizer.step()
        self.state.updates += 1
        if parts.average:
            parts.average.follow(averaging_decay(self.config.train.ema, self.state.updates))
        metrics: dict[str, float | Tensor] = {**sums, "grad_norm": norm}
        if self.loss_scale.enabled:
            metrics |= {"skipped_steps": 0.0, "loss_scale": self.loss_scale.scale}
        return metrics

    def _evaluate(self) -> None:
        with self.processes.raise_on_all(), self._averaged():
            metrics = self.evaluation(untrained=self.state.samples == 0)
        self._log({**metrics, "seconds": round(self.state.seconds, 3), **self._costs()})
        if self.trackers:
            self.trackers.pictures(self.state.samples, self.evaluation.pictures)

    def _costs(self) -> dict[str, float]:
        cost = sum_costs(self.processes.gather(asdict(self.parts.policy.cost)))
        return {**asdict(cost), "nfe": cost.nfe(self.config.train.finetune)}

    def _keep_weights(self) -> None:
        """Writes the present weights into the run's folder of kept weights, for an evaluation later on."""
        with self.processes.raise_on_all():
            if self.processes.is_main:
                sweep(self.out / KEPT_FOLDER)
                with replacing_folder(self.out / KEPT_FOLDER / f"{self.state.samples:08d}") as folder:
                    write_sealed(folder / KEPT_FILE, {"sha256": self._write_weights(folder).hash})

    def _save(self) -> None:
        parts, state, costs = self.parts, self.state, self._costs()
        self.processes.check_same_weights(parts.weights)
        with self.processes.raise_on_all():
            if self.metrics:
                state.metrics_bytes, state.method = self.metrics.bytes, method_calls.state(parts.method)
                state.loss_scale = self.loss_scale.state()
                state.cost = {name: int(n) for name, n in costs.items() if name != "nfe"}
                checkpoint.write(self.out, state, parts.parameters, parts.optimizer, parts.copies)
        self.last_save = time.monotonic()
