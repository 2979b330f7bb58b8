"""Makes preference pairs: images of a base model, ordered by a reward.

    pairs/<name>-<digest>/record.json     first the key of the digest; at the end also counts and the parquet's sha256
    pairs/<name>-<digest>/pairs.parquet   caption, winner and loser (WebP bytes), their scores, prompt and samples

The digest is of everything that decides the pairs, so existing pairs are not made again. Images and scores are kept in
the image and score stores, so an interrupted command goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import BASE, Measured, device_and_dtype, measure
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.noise import Sample
from benchbench.pairs.look_up import MADE_PREFIX, PairsToMake, look_up_pairs
from benchbench.prompts.words import check_vocabulary
from benchbench.rewards import lookup
from benchbench.rewards.identity import key_of_reward
from benchbench.runtime.files import Log, replacing, sweep
from benchbench.runtime.hashing import digest, file_sha256
from benchbench.runtime.locks import locked
from benchbench.runtime.names import safe_name
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.samplers import Sampler, default_sampler
from benchbench.store.scores import made_by
from benchbench.types import PromptSet, Reward

SCHEMA = 1  # raised when the same key would mean other pairs
SEED = 900_000
"""Evaluation seed of the images. It is no default seed of evaluations, so no image is trained on and evaluated."""
ROWS_PER_GROUP = 8  # reading one row of a parquet file reads its whole row group


def find_or_make(
    pairs: str | PairsToMake,
    store: Path,
    *,
    model: str | LocalModel = "shapes",
    device: str | None = None,
    log: Log = print,
) -> str:
    """Returns what ``open_pairs`` opens: the reference itself, or the folder of pairs that are made from it.

    Such pairs are made of images of the base ``model`` unless the store has them.
    """
    if isinstance(pairs, str):
        looked_up = look_up_pairs(pairs) if pairs.startswith(MADE_PREFIX) else pairs
        if isinstance(looked_up, str):
            return looked_up
        pairs = looked_up
    folder = make_pairs(model, pairs.prompts, pairs.reward, store, pairs.images_per_prompt, device=device, log=log)
    return str(folder)


def make_pairs(
    model: str | LocalModel,
    prompts: PromptSet,
    reward: str | type[Reward],
    store: Path,
    images_per_prompt: int,
    *,
    seeds: Sequence[int] = (SEED,),
    sampler: Sampler | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    out: Path | None = None,
    log: Log = print,
) -> Path:
    """Returns the folder of the pairs, ``out`` or one in the store; makes them unless they are there.

    The K images of a prompt and seed give K pairs, each image with the next one and the last with the first; 2 images
    give one pair. Equal scores give no pair. Raises UsageError, MissingError, CorruptError, RunError.
    """
    if images_per_prompt < 2:
        raise UsageError("a pair needs two images", f"{images_per_prompt} a prompt were asked for", "give 2 or more")
    sampler = sampler or default_sampler(model)
    reward_class = lookup.as_class(reward)
    lookup.check_base(reward_class, model)
    model = models.find(model)
    check_vocabulary(prompts, model.name)
    key = _key(model, prompts, reward_class, images_per_prompt, seeds, sampler, device_and_dtype(device, dtype)[1])
    folder = out or store / "pairs" / f"{safe_name(prompts.name)}-{digest(key)}"
    with locked(folder.parent / f"{folder.name}.lock", log):
        made_with = made_by(reward_class)
        if _holds_pairs(folder, key, made_with, out is None, log):
            return folder
        count = len(prompts) * images_per_prompt * len(seeds)
        log(
            f"making pairs of {count} images of {prompts.name} by {model}, judged by {reward_class.name}; into {folder}"
        )
        measured = measure(
            model,
            {BASE: []},
            prompts,
            [reward_class],
            store=store,
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            sampler=sampler,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            log=log,
        )
        facts: dict[str, Any] = {"key": key, "made_with": made_with}
        _write_record(folder, facts)
        counts = _write_pairs(folder, measured)
        sha256 = file_sha256(folder / "pairs.parquet")
        _write_record(folder, {**facts, **counts, "sha256": sha256, "made": measured.record})
    log(f"{counts['pairs']} pairs ({counts['ties']} ties left out) are in {folder}")
    return folder


def _key(
    model: LocalModel,
    prompts: PromptSet,
    reward: type[Reward],
    images: int,
    seeds: Sequence[int],
    sampler: Sampler,
    dtype: str,
) -> dict[str, Any]:
    """Returns everything that decides the pairs, JSON-able."""
    return {
        "schema": SCHEMA,
        "model": model.hash,
        "sampler": sampler.model_dump(mode="json"),
        "dtype": dtype,
        "prompts": [prompts.name, prompts.hash_for(reward.needs)],
        "reward": key_of_reward(reward),
        "images_per_prompt": images,
        "seeds": list(seeds),
    }


def made_from(pairs: PairsToMake, model: LocalModel) -> str:
    """Returns a digest of all that decides the pairs of a base model, except the precision, which a device decides."""
    key = _key(model, pairs.prompts, pairs.reward, pairs.images_per_prompt, (SEED,), default_sampler(model), "any")
    return digest([key, pairs.reward.identity()])


def _holds_pairs(folder: Path, key: dict[str, Any], made_with: str, named_by_key: bool, log: Log) -> bool:
    """Returns True if the folder holds the pairs of the key, by a reward ``made_with`` these weights.

    ``named_by_key`` says that the folder's name has the key's digest.

    Raises UsageError if it holds something else.
    """
    record = find_sealed(folder / "record.json")
    # a folder that is named by the key may lack a record or have a damaged one: its pairs are then made again
    may_write = record.get("key") == key if record else named_by_key or not any(folder.glob("[!.]*"))
    if not may_write:
        raise UsageError(
            f"{folder} holds something else", "nothing is overwritten", "choose another --out, or remove that folder"
        )
    if record is None or "sha256" not in record:
        return False  # empty, or left by an interrupted command
    earlier = record.get("made_with", made_with)
    if earlier != made_with:
        log(f"the pairs in {folder} were labelled by {earlier}, and not by {made_with}; they are made again")
        return False
    pairs = folder / "pairs.parquet"
    if pairs.is_file() and file_sha256(pairs) == record["sha256"]:
        return True
    log(f"warning: {pairs} is not the file that was made; it is made again")
    return False


def _write_record(folder: Path, facts: dict[str, Any]) -> None:
    write_sealed(folder / "record.json", facts)


def paired_indices(count: int) -> Iterator[tuple[int, int]]:
    """Yields which of a prompt's images are paired: each with the next one, the last with the first."""
    return ((i, (i + 1) % count) for i in range(count if count > 2 else 1))


def _write_pairs(folder: Path, measured: Measured) -> dict[str, int]:
    """Writes pairs.parquet one row group at a time, and returns the counts of images, pairs and ties."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"caption": pa.string(), "winner": pa.binary(), "loser": pa.binary()}
    columns |= dict.fromkeys(("winner_score", "loser_score"), pa.float64())
    columns |= dict.fromkeys(("prompt_index", "seed", "winner_sample", "loser_sample"), pa.int64())
    schema = pa.schema(list(columns.items()))
    path = folder / "pairs.parquet"
    counts = {"images": sum(len(g.entries) for g in measured.generations[BASE]), "pairs": 0, "ties": 0}
    sweep(folder, path.name)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        rows = _rows(measured, counts)
        while group := list(islice(rows, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    return counts


def _rows(measured: Measured, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yields the rows of pairs.parquet by seed, prompt and image, and counts pairs and ties in ``counts``."""
    frame = measured.frames[BASE]
    for generation in measured.generations[BASE]:
        scores = frame[frame.eval_seed == generation.seed]
        score = dict(zip(zip(scores.prompt_index, scores["sample"], strict=True), scores.score, strict=True))
        by_prompt: dict[int, list[Sample]] = {}
        for sample in generation.entries:
            by_prompt.setdefault(sample.index, []).append(sample)
        for samples in by_prompt.values():
            for a, b in paired_indices(len(samples)):
                winner, loser = sorted((samples[a], samples[b]), key=lambda s: -score[s.index, s.number])
                winner_score, loser_score = (float(score[s.index, s.number]) for s in (winner, loser))
                if winner_score == loser_score:
                    counts["ties"] += 1
                    continue
                counts["pairs"] += 1
                yield _row(generation, winner, loser, winner_score, loser_score)


def _row(
    generation: Generation, winner: Sample, loser: Sample, winner_score: float, loser_score: float
) -> dict[str, Any]:
    for sample in (winner, loser):
        generation.images.read(sample)  # raises CorruptError for a damaged image
    return {
        "caption": winner.prompt,
        "winner": generation.images.path(winner).read_bytes(),
        "loser": generation.images.path(loser).read_bytes(),
        "winner_score": winner_score,
        "loser_score": loser_score,
        "prompt_index": winner.index,
        "seed": generation.seed,
        "winner_sample": winner.number,
        "loser_sample": loser.number,
    }
