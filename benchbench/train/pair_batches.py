"""Turns a stream of pairs into the batches of an offline method: encoded pictures and captions, one row a draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.api import Metrics, OfflineMethod, PairsConfig
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.encode import encode
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.noise import Noise, Sample
from benchbench.pairs.files import PairFiles
from benchbench.pairs.open import PairItem, PairSet, PairStream
from benchbench.runtime.files import Log
from benchbench.runtime.json_files import find_list, write_json
from benchbench.runtime.memory import Splitter
from benchbench.types import Batch, ImagePairs, Images

BAD_ROWS = "bad_rows.json"
WARNED_SHARE = 0.03
"""The share of pairs that cannot be used above which the user is warned during the run."""


class Reader:
    """Collects the batches of an offline method, in place of a rollout. A sample's number is the number of its draw.

    A picture's latents are a draw from the VAE's posterior times its scaling factor, as in the released code; the noise
    depends on (seed, draw, side) alone. Skipped rows are listed in the run's folder.
    """

    def __init__(
        self,
        method: OfflineMethod[Any],
        cfg: PairsConfig,
        pairs: PairSet,
        seed: int,
        backbone: Backbone,
        log: Log,
    ) -> None:
        self.log, self.drawn, self.warned = log, 0, False
        self.method, self.pairs, self.backbone = method, pairs, backbone
        self.winners = method.winners(cfg)
        flip: Any = {"independent": True, "joint": "joint", "none": False}[cfg.flip]
        self.stream = PairStream(
            pairs,
            Noise(seed, "pairs"),
            backbone.image_size,
            caption_dropout=cfg.caption_dropout,
            flip=flip,
            same_size=cfg.flip == "joint",
        )
        self.encoding = Splitter("encoding pictures", row="picture")
        self.out: Path | None = None

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: Any, noise: Noise
    ) -> Iterator[tuple[Batch, Metrics]]:
        """Yields one Batch, of the draws that the samples' numbers name. The numbers must be consecutive."""
        first, size = samples[0].number, self.backbone.batch_size
        parts = []
        for start in range(first, first + len(samples), size):
            items = self.stream.batch(start, min(start + size, first + len(samples)))
            parts.append(self._encoded(policy, items, noise))
        batch, metrics = self.method.prepare(policy, type(parts[0]).cat(parts), cfg, noise)
        policy.cost.pairs += 0 if self.winners is not None else len(batch)
        if policy.processes.is_main:
            self._write_bad_rows()
            self._warn(len(samples))
        yield batch, {**metrics, "bad_rows": float(len(self.stream.bad))}

    def _encoded(self, policy: Policy, items: Sequence[PairItem], noise: Noise) -> Any:
        """Returns ImagePairs of the items or, for a method that learns from single images, Images."""
        draws = [item.draw for item in items]
        cond = policy.encode([item.caption for item in items])
        draw = torch.tensor(draws)  # stays on the host, where the noise is drawn

        def encoded(pictures: list[Tensor], side: str) -> Tensor:
            def encode_share(share: slice) -> Tensor:
                def encode_part(part: slice) -> Tensor:
                    rows = slice(share.start + part.start, share.start + part.stop)
                    return self.encode(torch.stack(pictures[rows]), draws[rows], noise, side)

                return self.encoding(encode_part, share.stop - share.start)

            return policy.processes.sharded_rows(len(draws), self.backbone.latent_shape, encode_share)

        if self.winners is None:
            x_w = encoded([item.winner for item in items], "winner")
            x_l = encoded([item.loser for item in items], "loser")
            return ImagePairs(x_w, x_l, cond, draw)
        won = [noise.integer(2**53, "label", d) < self.winners * 2**53 for d in draws]
        pictures = [item.winner if w else item.loser for item, w in zip(items, won, strict=True)]
        label = torch.tensor([1.0 if w else -1.0 for w in won], device=self.backbone.device)
        return Images(encoded(pictures, "winner"), cond, draw, label)

    def encode(self, pictures: Tensor, draws: Sequence[int], noise: Noise, side: str) -> Tensor:
        """Returns scaled latents, float32 [N, C, h, w], of pictures [N, 3, H, W] in [-1, 1]."""
        rows = [Sample("", d) for d in draws]
        z = noise.normal(rows, "vae", side, shape=self.backbone.latent_shape, device=self.backbone.device)
        return encode(self.backbone, pictures, z)

    def _write_bad_rows(self) -> None:
        """Writes bad_rows.json with every row skipped so far, also those from before the run was resumed."""
        if self.out is None or not self.stream.bad:
            return
        before = self._skipped()
        rows = {(row["draw"], row["row"]): row for row in [*before, *(bad._asdict() for bad in self.stream.bad)]}
        if len(rows) > len(before):
            write_json(self.out / BAD_ROWS, [rows[key] for key in sorted(rows)])

    def _warn(self, draws: int) -> None:
        """Warns once in a run that more than a few per cent of the drawn pairs could not be used."""
        self.drawn += draws
        bad = self.stream.bad
        if not self.warned and len(bad) > max(1, WARNED_SHARE * self.drawn):
            self.warned = True
            self.log(
                f"warning: {len(bad)} rows drawn for {self.drawn} pairs cannot be used; others take their place: "
                f"{bad[0].place}: {bad[0].why}; `bench pairs check` lists them all"
            )

    def report(self) -> None:
        """Logs how many rows were skipped in the whole run, also before it was resumed."""
        rows = {row["row"] for row in self._skipped()} | {bad.row for bad in self.stream.bad}
        if rows:
            where = f"; they are listed in {self.out / BAD_ROWS}" if self.out else ""
            self.log(f"{len(rows)} of {len(self.pairs)} pairs could not be used and were skipped{where}")

    def _skipped(self) -> list[dict[str, Any]]:
        """Returns the rows in bad_rows.json."""
        listed = find_list(self.out / BAD_ROWS) if self.out else None
        return [row for row in listed or [] if isinstance(row, dict) and {"draw", "row"} <= row.keys()]

    def changed_pictures(self) -> list[str]:
        """Returns a line for each thing that was done to pictures read so far, as ``ChangedPictures`` does."""
        return self.pairs.changed.lines() if isinstance(self.pairs, PairFiles) else []

    def close(self) -> None:
        """Ends the threads that decode pictures ahead."""
        self.stream.close()
