"""Makes preference pairs: images of a base model, of which a reward says which it prefers.

    pairs/<name>-<digest>/record.json     written first: what the digest is made of; last: counts, the parquet's sha256
    pairs/<name>-<digest>/pairs.parquet   caption, winner and loser (WebP bytes), their scores, prompt and samples

The digest is made of everything that decides the pairs, so that pairs which exist are never made again. Images and
scores go through the image and score stores: what was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchbench import defaults
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.hub import models
from benchbench.noise import Sample
from benchbench.pairs.open import resolve_files
from benchbench.rewards import lookup
from benchbench.runtime.files import Log, replacing, sweep
from benchbench.runtime.hashing import digest, file_sha256
from benchbench.runtime.json_files import find_object, write_json
from benchbench.runtime.locks import locked
from benchbench.runtime.names import safe_name

if TYPE_CHECKING:
    from benchbench.config import SamplerConfig
    from benchbench.evaluate.measure import Measured
    from benchbench.hub.models import LocalModel
    from benchbench.types import PromptSet, Reward

MADE = "made:"  # how a reference to pairs begins that we make
SCHEMA = 1  # raised when the same key would mean other pairs
SEED = 900_000
"""Of the images. No evaluation uses it by default: the images that are trained on are none that is judged later."""
GROUP = 8  # rows of a row group, which is what reading one row costs


@dataclass(frozen=True)
class PairsToMake:
    """Pairs that are made unless the store holds them: what ``made:PROMPTS:REWARD:IMAGES`` names, looked up."""

    prompts: PromptSet
    reward: type[Reward]
    images_per_prompt: int


def look_up_pairs(
    reference: str, prompts: Mapping[str, PromptSet] | None = None, rewards: Mapping[str, type[Reward]] | None = None
) -> str | PairsToMake:
    """Refuses what cannot be opened or made, before anything slow happens; returns what ``find_or_make`` takes.

    ``prompts`` and ``rewards`` are those that were looked up already, by name. Errors: UsageError, MissingError.
    """
    if not reference.startswith(MADE):
        resolve_files(reference)
        return reference
    prompts_name, reward, images = _parse(reference)
    known, judges = prompts or {}, rewards or {}
    own = known[prompts_name] if prompts_name in known else prompt_sets.load(prompts_name)
    return PairsToMake(own, judges[reward] if reward in judges else lookup.require(reward), images)


def find_or_make(
    pairs: str | PairsToMake,
    store: Path,
    *,
    model: str | LocalModel = "shapes",
    device: str | None = None,
    log: Log = print,
) -> str:
    """Returns what ``open_pairs`` opens: a reference as it is, or the folder of ``made:PROMPTS:REWARD:IMAGES``.

    Such pairs are of images of the base ``model``, and are made unless they are in the store.
    """
    if isinstance(pairs, str):
        if not pairs.startswith(MADE):
            return pairs
        pairs = cast("PairsToMake", look_up_pairs(pairs))
    made = make_pairs(model, pairs.prompts, pairs.reward, store, pairs.images_per_prompt, device=device, log=log)
    return str(made)


def _parse(reference: str) -> tuple[str, str, int]:
    """Prompts, reward and images a prompt of ``made:PROMPTS:REWARD:IMAGES``. Errors: UsageError."""
    words = reference.removeprefix(MADE).rsplit(":", 2)
    if len(words) != 3 or not words[2].isdecimal() or int(words[2]) < 2:
        raise UsageError(
            f"{reference!r} does not say which pairs to make",
            "it is not of the form made:PROMPTS:REWARD:IMAGES with 2 images or more",
            f"for example {defaults.SHAPES.pairs}",
        )
    return words[0], words[1], int(words[2])


def make_pairs(
    model: str | LocalModel,
    prompts: PromptSet,
    reward: str | type[Reward],
    store: Path,
    images_per_prompt: int,
    *,
    seeds: Sequence[int] = (SEED,),
    sampler: SamplerConfig | None = None,
    device: str | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    out: Path | None = None,
    log: Log = print,
) -> Path:
    """The folder of the pairs, ``out`` or one in the store named by what they are; made unless it is there.

    Of the K images of a prompt (and seed), each meets the next one and the last meets the first: K pairs, one for
    K = 2. An equal score makes no pair. Errors: UsageError, MissingError, CorruptError, RunError.
    """
    from benchbench.config import SamplerConfig

    if images_per_prompt < 2:
        raise UsageError("a pair needs two images", f"{images_per_prompt} a prompt were asked for", "give 2 or more")
    sampler = sampler or SamplerConfig()
    here, kind = models.find(model), lookup.as_class(reward)
    key = _key(here, prompts, kind, images_per_prompt, seeds, sampler, device, dtype)
    folder = out or store / "pairs" / f"{safe_name(prompts.name)}-{digest(key)}"
    with locked(folder.parent / f"{folder.name}.lock", log):
        if _made(folder, key, out is None, log):
            return folder
        count = len(prompts) * images_per_prompt * len(seeds)
        log(f"making pairs of {count} images of {prompts.name} by {here}, judged by {kind.name}; into {folder}")

        from benchbench.evaluate.measure import measure

        options: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size}
        measured = measure(
            here,
            {"base": []},
            prompts,
            [kind],
            store=store,
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            sampler=sampler,
            log=log,
            **options,
        )
        _record(folder, {"key": key})
        counts = _write(folder, measured)
        sha256 = file_sha256(folder / "pairs.parquet")
        _record(folder, {"key": key, **counts, "sha256": sha256, "made": measured.record})
    log(f"{counts['pairs']} pairs ({counts['ties']} ties left out) are in {folder}")
    return folder


def _key(
    model: LocalModel,
    prompts: PromptSet,
    reward: type[Reward],
    images: int,
    seeds: Sequence[int],
    sampler: SamplerConfig,
    device: str | None,
    dtype: str,
) -> dict[str, Any]:
    """Everything that decides the pairs, JSON-able."""
    from benchbench.diffusion import backbones

    return {
        "schema": SCHEMA,
        "model": model.own_hash,
        "sampler": sampler.model_dump(mode="json"),
        "dtype": backbones.pick_dtype(dtype, backbones.pick_device(device)),
        "prompts": [prompts.name, prompts.hash],
        "reward": [reward.name, reward.version],
        "images_per_prompt": images,
        "seeds": list(seeds),
    }


def _made(folder: Path, key: dict[str, Any], named: bool, log: Log) -> bool:
    """Returns True where the folder holds the pairs of the key; ``named`` says that its name has the key's digest.

    Errors: UsageError where it holds something else.
    """
    record = find_object(folder / "record.json")
    # without a record, or with a damaged one: the store's folder is named by the key, and its pairs are made again
    ours = record.get("key") == key if record else named or not any(folder.glob("[!.]*"))
    if not ours:
        raise UsageError(
            f"{folder} holds something else", "nothing is overwritten", "choose another --out, or remove that folder"
        )
    if record is None or "sha256" not in record:
        return False  # nothing yet, or what an interrupted making left
    pairs = folder / "pairs.parquet"
    if pairs.is_file() and file_sha256(pairs) == record["sha256"]:
        return True
    log(f"warning: {pairs} is not the file that was made; it is made again")
    return False


def _record(folder: Path, facts: dict[str, Any]) -> None:
    write_json(folder / "record.json", facts)


def meetings(count: int) -> Iterator[tuple[int, int]]:
    """Which of a prompt's images meet: each the next one, the last the first."""
    return ((i, (i + 1) % count) for i in range(count if count > 2 else 1))


def _write(folder: Path, measured: Measured) -> dict[str, int]:
    """Writes pairs.parquet, a row group at a time; counts of images, pairs and ties."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"caption": pa.string(), "winner": pa.binary(), "loser": pa.binary()}
    columns |= dict.fromkeys(("winner_score", "loser_score"), pa.float64())
    columns |= dict.fromkeys(("prompt_index", "seed", "winner_sample", "loser_sample"), pa.int64())
    schema = pa.schema(list(columns.items()))
    path = folder / "pairs.parquet"
    counts = {"images": sum(len(g.entries) for g in measured.generations["base"]), "pairs": 0, "ties": 0}
    sweep(folder, path.name)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        rows = _rows(measured, counts)
        while group := list(islice(rows, GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    return counts


def _rows(measured: Measured, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The rows of pairs.parquet, by seed, prompt and image."""
    frame = measured.frames["base"]
    for generation in measured.generations["base"]:
        own = frame[frame.eval_seed == generation.seed]
        score = dict(zip(zip(own.prompt_index, own["sample"], strict=True), own.score, strict=True))
        by_prompt: dict[int, list[Sample]] = {}
        for item in generation.entries:
            by_prompt.setdefault(item.index, []).append(item)
        for items in by_prompt.values():
            for first, second in meetings(len(items)):
                pair = sorted((items[first], items[second]), key=lambda item: -score[item.index, item.number])
                scores = [float(score[item.index, item.number]) for item in pair]
                if scores[0] == scores[1]:
                    counts["ties"] += 1
                    continue
                counts["pairs"] += 1
                for item in pair:
                    generation.images.read(item)  # checks it
                yield {
                    "caption": pair[0].prompt,
                    "winner": generation.images.path(pair[0]).read_bytes(),
                    "loser": generation.images.path(pair[1]).read_bytes(),
                    "winner_score": scores[0],
                    "loser_score": scores[1],
                    "prompt_index": pair[0].index,
                    "seed": generation.seed,
                    "winner_sample": pair[0].number,
                    "loser_sample": pair[1].number,
                }
