"""Scores the images that have no score yet.

Imports torch only inside functions: wrong names on the command line must be reported before torch is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchbench import reward_calls
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.mean_note import MeanNote
from benchbench.evaluate.read_ahead import read_ahead
from benchbench.noise import Sample
from benchbench.rewards import mix
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import Score, at_a_time, scoring
from benchbench.runtime.allocator import keep_freed_memory
from benchbench.runtime.files import Log, sweep
from benchbench.runtime.locks import locked
from benchbench.runtime.looking import about_to_make
from benchbench.runtime.names import safe_name
from benchbench.runtime.progress import progress
from benchbench.store import scores as store_scores
from benchbench.store.scores import ScoreStore
from benchbench.types import Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SAVE_EVERY = 30.0  # seconds of scoring that a kill can lose


def score(
    generations: Sequence[Generation],
    rewards: Sequence[type[Reward]],
    *,
    store: Path,
    device: str,
    batch_size: int,
    log: Log,
    cost: EvalCost | None = None,
) -> list[pd.DataFrame]:
    """Returns one frame per generation: a row per image and reward, with the columns of ``store.scores``.

    A score belongs to an image's pixels: an image that was made again is scored again. One reward is in memory at a
    time; what is computed is added to ``cost``. Raises RunError for a score that is not a finite number.
    """
    frames_by_generation: list[list[pd.DataFrame]] = [[] for _ in generations]
    for reward_class in rewards:
        if issubclass(reward_class, Ensemble):
            members = list(reward_class.reward_classes.values())
            member_frames = score(
                generations, members, store=store, device=device, batch_size=batch_size, log=log, cost=cost
            )
            mixed = _mix(reward_class, member_frames, generations, store, log)
            for frames, frame in zip(frames_by_generation, mixed, strict=True):
                frames.append(frame)
            continue
        reward = _LazyReward(reward_class, device, log)
        for generation, frames in zip(generations, frames_by_generation, strict=True):
            scores = ScoreStore(store, generation.images.id, reward_class, generation.metadata_hash(reward_class))
            with locked(scores.lock, log):
                sweep(scores.path.parent, scores.path.name)
                known = scores.read(log)
                if not _is_complete(known, generation):
                    known = _current(known, generation)
                    if unscored := _unscored(known, generation):
                        about_to_make("scores")
                        known = _score_missing(scores, known, unscored, generation, reward, batch_size, cost)
                    known = _ordered(known, generation)
            frames.append(known)
    return [pd.concat(frames, ignore_index=True) for frames in frames_by_generation]


def _mix(
    ensemble: type[Ensemble],
    member_frames: list[pd.DataFrame],
    generations: Sequence[Generation],
    store: Path,
    log: Log,
) -> list[pd.DataFrame]:
    """Returns an ensemble's rows, one frame per generation, from its members' rows.

    Scores are normalised on the first row of the table, which is the base model. The statistics are logged and saved.
    """
    scores = [{name: f[f.reward == name].score.to_numpy() for name in ensemble.reward_classes} for f in member_frames]
    base_label = generations[0].label
    base_scores = [s for s, generation in zip(scores, generations, strict=True) if generation.label == base_label]
    statistics = mix.member_statistics(
        {name: [v for s in base_scores for v in s[name]] for name in ensemble.reward_classes}
    )
    images = f"images of {base_label}"
    mix.log_statistics(ensemble.name, statistics, images, log)
    file = store / "scores" / generations[0].images.id / f"ensemble-{safe_name(ensemble.name)}.json"
    if mix.read_statistics(file, ensemble) != statistics:
        mix.save_statistics(file, ensemble, statistics, images)
    member = next(iter(ensemble.reward_classes))
    return [
        frame[frame.reward == member]
        .assign(
            reward=ensemble.name,
            version=ensemble.version,
            unit=ensemble.unit,
            score=ensemble.combine(s, statistics),
        )
        .reset_index(drop=True)
        for frame, s in zip(member_frames, scores, strict=True)
    ]


class _LazyReward:
    """A reward that is loaded when it is first needed."""

    def __init__(self, reward_class: type[Reward], device: str, log: Log) -> None:
        self.reward_class, self.device, self.log = reward_class, device, log
        self._reward: Reward | None = None
        self._warned = False
        self._score: Score | None = None

    def load(self) -> Reward:
        """Returns the reward, loaded once. From then on this process computes in exact float32."""
        if self._reward is None:
            from benchbench.runtime.precision import exact_fp32

            if self.device == "cpu":
                keep_freed_memory()
            exact_fp32()
            self._reward = reward_calls.load(self.reward_class, self.device)
        return self._reward

    def warn(self, prompts: Sequence[str]) -> None:
        """Logs, at the first call, what a user should know of these prompts: some may be read in part only."""
        for line in () if self._warned else self.load().prompt_warnings(prompts):
            self.log(line)
        self._warned = True

    def __call__(
        self, images: Sequence[Image] | Tensor, prompts: Sequence[str], name: Callable[[int], str]
    ) -> list[float]:
        """Returns the scores of images or of prepared images, computed in parts if memory is too small for all.

        Raises RunError, in which ``name`` describes the image of a row.
        """
        if self._score is None:
            self._score = scoring(self.load(), self.log)
        return list(self._score(images, prompts, name).tolist())


PLACE = ["prompt_index", "sample"]  # what tells the images of a generation apart


def _is_complete(known: pd.DataFrame, generation: Generation) -> bool:
    """Returns whether the stored rows are those of these images, in their order: this answers faster than merging."""
    columns = generation.places.columns
    return len(known) == len(generation.places) and all(
        (known[name].to_numpy() == generation.places[name].to_numpy()).all() for name in columns
    )


def _current(known: pd.DataFrame, generation: Generation) -> pd.DataFrame:
    """Returns ``known`` without scores of images that have other pixels now; images of other evaluations stay."""
    now = known[PLACE].merge(generation.places, how="left", on=PLACE).image_sha256
    keep = now.isna().to_numpy() | (now.to_numpy() == known.image_sha256.to_numpy())
    return known[keep]


def _unscored(known: pd.DataFrame, generation: Generation) -> list[Sample]:
    """Returns the images without a score; ``known`` are scores of the pixels that the images have now."""
    scores = known[[*PLACE, "score"]].drop_duplicates(PLACE)
    missing = generation.places.merge(scores, how="left", on=PLACE).score.isna()
    samples = list(generation.entries)
    return [samples[place] for place in missing.to_numpy().nonzero()[0]]


def _ordered(known: pd.DataFrame, generation: Generation) -> pd.DataFrame:
    """Returns the rows of this generation's images, in their order."""
    return generation.places[PLACE].merge(known, how="left", on=PLACE)[list(store_scores.COLUMNS)]


def _score_missing(
    scores: ScoreStore,
    known: pd.DataFrame,
    unscored: Sequence[Sample],
    generation: Generation,
    reward: _LazyReward,
    batch_size: int,
    cost: EvalCost | None,
) -> pd.DataFrame:
    """Scores the images, writes the file every ``SAVE_EVERY`` seconds and at the end, and returns its rows."""
    rows: list[dict[str, Any]] = []
    saved = started = time.monotonic()

    def save() -> pd.DataFrame:
        all_rows = pd.concat([known, store_scores.score_frame(rows)], ignore_index=True)
        scores.write(all_rows)
        return all_rows

    total, title = len(generation.entries), f"scoring {generation.label} with {reward.reward_class.name}"
    mean = MeanNote(reward.reward_class.name, _ordered(known, generation).score.dropna().tolist())
    with progress(total, title, "images", total - len(unscored)) as bar:
        try:
            loaded = reward.load()
            reward.warn([sample.prompt for sample in generation.entries])
            reward_calls.expect(loaded, [sample.prompt for sample in unscored])
            with closing(
                read_ahead(unscored, at_a_time(loaded, batch_size), generation.images.read, loaded, reward.device)
            ) as batches:
                for batch, images in batches:
                    new = _score_batch(batch, images, generation, reward)
                    rows += new
                    bar.advance(len(batch), mean.after([row["score"] for row in new]))
                    if time.monotonic() - saved > SAVE_EVERY:
                        save()
                        saved = time.monotonic()
        except BaseException:  # keeps what was scored before an error or Ctrl-C
            if rows:
                save()
            raise
        if cost is not None:
            cost.reward_calls += len(unscored)
            cost.scoring += time.monotonic() - started
        return save()


def _score_batch(
    batch: Sequence[Sample],
    images: Sequence[Image] | Tensor,
    generation: Generation,
    reward: _LazyReward,
) -> list[dict[str, Any]]:
    """Returns the score rows of a batch. Raises RunError for anything but a finite score for each image."""
    reward_class = reward.reward_class

    def name(row: int) -> str:
        s = batch[row]
        return (
            f"prompt {s.index} {s.prompt!r}, sample {s.number}, seed {generation.seed}, "
            f"image {generation.images.path(s)}"
        )

    values = reward(images, [sample.prompt for sample in batch], name)
    return [
        {
            "prompt_index": sample.index,
            "prompt": sample.prompt,
            "sample": sample.number,
            "eval_seed": generation.seed,
            "reward": reward_class.name,
            "version": reward_class.version,
            "unit": reward_class.unit,
            "score": value,
            "image_sha256": generation.entries[sample].sha256,
        }
        for sample, value in zip(batch, values, strict=True)
    ]
