"""Scores the images that have no score yet, and only those."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchbench.errors import RunError
from benchbench.evaluate.eval_cost import Spent
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.read_ahead import read_ahead
from benchbench.noise import Sample
from benchbench.rewards import mix
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import Score, scoring
from benchbench.runtime.files import Log, sweep
from benchbench.runtime.locks import locked
from benchbench.runtime.names import safe_name
from benchbench.runtime.progress import Progress, progress
from benchbench.store import scores as store_scores
from benchbench.store.scores import ScorePart
from benchbench.types import Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SAVE_EVERY = 30.0  # seconds: what a kill can cost


def score(
    generations: Sequence[Generation],
    rewards: Sequence[type[Reward]],
    *,
    store: Path,
    device: str,
    batch_size: int,
    log: Log,
    spent: Spent | None = None,
) -> list[pd.DataFrame]:
    """A frame a generation, a row an image and reward, columns of ``store.scores``; one reward in memory at a time.

    A score belongs to the image's pixels: an image that was made again is scored again. What is computed is added to
    ``spent``. Errors: RunError for a score that is not a number.
    """
    parts: list[list[pd.DataFrame]] = [[] for _ in generations]
    for kind in rewards:
        if issubclass(kind, Ensemble):
            members = list(kind.reward_classes.values())
            found = score(generations, members, store=store, device=device, batch_size=batch_size, log=log, spent=spent)
            mixed = _mix(kind, found, generations, store, log)
            for frames, frame in zip(parts, mixed, strict=True):
                frames.append(frame)
            continue
        lazy = _Lazy(kind, device, log)
        for generation, frames in zip(generations, parts, strict=True):
            scores = ScorePart(store, generation.images.id, kind)
            with locked(scores.lock, log):
                sweep(scores.path.parent, scores.path.name)
                known = _current(scores.read(log), generation)
                todo = _unscored(known, generation)
                if todo:
                    known = _fill(scores, known, todo, generation, lazy, batch_size, spent)
            frames.append(_ordered(known, generation))
    return [pd.concat(frames, ignore_index=True) for frames in parts]


def _mix(
    kind: type[Ensemble], found: list[pd.DataFrame], generations: Sequence[Generation], store: Path, log: Log
) -> list[pd.DataFrame]:
    """An ensemble's rows from its members' rows, normalised on the first row of the table, which is the base model."""
    scores = [{name: frame[frame.reward == name].score.to_numpy() for name in kind.reward_classes} for frame in found]
    first = [s for s, g in zip(scores, generations, strict=True) if g.label == generations[0].label]
    statistics = mix.member_statistics({name: [v for s in first for v in s[name]] for name in kind.reward_classes})
    of = f"images of {generations[0].label}"
    mix.log_statistics(kind.name, statistics, of, log)
    file = store / "scores" / generations[0].images.id / f"ensemble-{safe_name(kind.name)}.json"
    mix.save_statistics(file, kind.name, statistics, of)
    member = next(iter(kind.reward_classes))
    return [
        frame[frame.reward == member]
        .assign(reward=kind.name, version=kind.version, unit=kind.unit, score=kind.combine(s, statistics))
        .reset_index(drop=True)
        for frame, s in zip(found, scores, strict=True)
    ]


class _Lazy:
    """A reward that is made when it is first asked."""

    def __init__(self, kind: type[Reward], device: str, log: Log) -> None:
        self.kind, self.device, self.log = kind, device, log
        self._made: Reward | None = None
        self._scores: Score | None = None

    def made(self) -> Reward:
        """The reward itself, whose scores are exact float32 whatever the flags of the process were."""
        if self._made is None:
            from benchbench.runtime.allocator import keep_freed_memory
            from benchbench.runtime.precision import exact_fp32

            if self.device == "cpu":
                keep_freed_memory()
            exact_fp32()
            self._made = self.kind(self.device)
        return self._made

    def __call__(self, images: Sequence[Image] | Tensor, prompts: Sequence[str]) -> list[float]:
        """Scores of all images, or of these prepared, in parts where they are too many for the memory."""
        if self._scores is None:
            self._scores = scoring(self.made(), self.log)
        found: list[float] = self._scores(images, prompts).tolist()
        return found


def _keys(frame: pd.DataFrame) -> list[tuple[int, int, str]]:
    return list(zip(frame.prompt_index, frame["sample"], frame.image_sha256, strict=True))


def _current(known: pd.DataFrame, generation: Generation) -> pd.DataFrame:
    """The rows that score an image that lies in the store now; images outside this evaluation keep their rows."""
    now = {(item.index, item.number): entry.sha256 for item, entry in generation.entries.items()}
    keep = [now.get((index, sample), sha256) == sha256 for index, sample, sha256 in _keys(known)]
    return known[pd.Series(keep, index=known.index, dtype=bool)]


def _unscored(known: pd.DataFrame, generation: Generation) -> list[Sample]:
    have = set(_keys(known))
    return [i for i, entry in generation.entries.items() if (i.index, i.number, entry.sha256) not in have]


def _ordered(known: pd.DataFrame, generation: Generation) -> pd.DataFrame:
    """The rows of this evaluation, in its order."""
    order = pd.DataFrame([(i.index, i.number) for i in generation.entries], columns=["prompt_index", "sample"])
    return order.merge(known, how="left", on=["prompt_index", "sample"])[list(store_scores.COLUMNS)]


def _fill(
    scores: ScorePart,
    known: pd.DataFrame,
    todo: Sequence[Sample],
    generation: Generation,
    reward: _Lazy,
    batch_size: int,
    spent: Spent | None,
) -> pd.DataFrame:
    """Scores the images, writes the file, and returns its rows."""
    rows: list[dict[str, Any]] = []
    saved = started = time.monotonic()

    def save() -> pd.DataFrame:
        together = pd.concat([known, store_scores.frame(rows)], ignore_index=True)
        scores.write(together)
        return together

    total, title = len(generation.entries), f"scoring {generation.label} with {reward.kind.name}"
    with progress(total, title, "images", total - len(todo)) as bar:
        try:
            made = reward.made()
            made.expect([item.prompt for item in todo])
            with closing(read_ahead(todo, batch_size, generation.images.read, made, reward.device)) as batches:
                for chunk, images in batches:
                    rows += _score(chunk, images, generation, reward, bar)
                    if time.monotonic() - saved > SAVE_EVERY:
                        save()
                        saved = time.monotonic()
        except BaseException:  # what was scored before an error or Ctrl-C is kept
            if rows:
                save()
            raise
        if spent is not None:
            spent.reward_calls += len(todo)
            spent.scoring += time.monotonic() - started
        return save()


def _score(
    chunk: Sequence[Sample], images: Sequence[Image] | Tensor, generation: Generation, reward: _Lazy, bar: Progress
) -> list[dict[str, Any]]:
    values, kind = reward(images, [item.prompt for item in chunk]), reward.kind
    if len(values) != len(chunk):
        raise RunError(
            f"reward {kind.name} is wrong",
            f"it gave {len(values)} scores for {len(chunk)} images",
            f"bench check {kind.name}",
        )
    rows = []
    for item, value in zip(chunk, values, strict=True):
        if not math.isfinite(value):
            raise RunError(
                f"reward {kind.name} gave {value}",
                f"prompt {item.index} {item.prompt!r}, sample {item.number}, seed {generation.seed}, "
                f"image {generation.images.path(item)}",
                f"look at the image, then bench check {kind.name}",
            )
        rows.append(
            {
                "prompt_index": item.index,
                "prompt": item.prompt,
                "sample": item.number,
                "eval_seed": generation.seed,
                "reward": kind.name,
                "version": kind.version,
                "unit": kind.unit,
                "score": value,
                "image_sha256": generation.entries[item].sha256,
            }
        )
    bar.advance(len(chunk), f"{kind.name} {sum(values) / len(values):.3g}")
    return rows
