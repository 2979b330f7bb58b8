"""Compares people's votes with the run that learns from them: the prompts, the sampler and the images of the store.

A run walks to the images that were voted on again, from their noise. It finds them only with the sampler and the prompt
index that they were made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.methods._votes import MAX_SHOWN, Vote
from benchbench.noise import Sample
from benchbench.runtime.files import Log
from benchbench.runtime.json_files import find_object
from benchbench.samplers import FlowSampler, SamplerConfig, described, steps_in_words
from benchbench.store.images import file_name, stored_sha256
from benchbench.types import PromptSet


def check_votes(
    votes: Sequence[Vote],
    prompts: PromptSet,
    sampler: SamplerConfig | FlowSampler,
    model_hash: str,
    store: Path,
    log: Log,
) -> None:
    """Raises UsageError for votes on other images than the run would walk to; logs what the votes do not say.

    A flow-matching model is refused, since its evaluations sample otherwise than its trainings.

    A prompt of the set must have its index there, unless the vote says that it is of another set. Steps, guidance and
    eta must be the run's, and so must the base model; images of fine-tuned weights are refused, since the run walks
    with the base model. An image of the store with the hash that a vote gives must be one of this base model, sampler,
    prompt, index, number and seed.
    """
    if isinstance(sampler, FlowSampler):
        raise UsageError(
            "D3PO cannot learn from votes on images of a flow-matching model",
            f"people see images of {described(sampler.evaluation.model_dump())}, and the run learns from "
            f"{steps_in_words(sampler.model_dump())}",
            "leave method.votes out, or learn from them with an offline method: bench study export --pairs",
        )
    of_this_set = [vote for vote in votes if vote.prompts_hash in (None, prompts.hash)]
    wrong = [*_wrong_models(votes, model_hash), *_wrong_indices(of_this_set, prompts), *_wrong_samplers(votes, sampler)]
    hashes = {sha256 for vote in votes for sha256 in (vote.sha256_i, vote.sha256_j) if sha256}
    if hashes and not wrong:  # another sampler makes other images, which need not be listed one by one
        expected = {"model_hash": model_hash, "adapter_hash": None, "sampler": sampler.model_dump(mode="json")}
        wrong += _wrong_images(votes, _generations(store), expected)
    if wrong:
        more = f"; and {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
        raise UsageError(
            "the votes are on other images than this run would learn from",
            "; ".join(wrong[:MAX_SHOWN]) + more,
            "give the prompts, the model and the sampler that the images were made with (--model, --set "
            "sampler.steps=50 sampler.guidance_scale=7.5), or correct the votes",
        )
    silent = sum(vote.steps is None or vote.guidance_scale is None for vote in votes if vote.sha256_i is None)
    if silent:
        log(
            f"{silent} of {len(votes)} votes do not say how their images were made (columns steps and guidance_scale, "
            f"or sha256_i and sha256_j): {sampler.steps} steps and guidance {sampler.guidance_scale:g} are assumed"
        )


def _wrong_indices(votes: Iterable[Vote], prompts: PromptSet) -> list[str]:
    """Returns a phrase for each vote on a prompt of the set that has another index there."""
    indices: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts.prompts):
        indices.setdefault(prompt, []).append(index)
    return [
        f"{vote.prompt!r} is prompt {indices[vote.prompt][0]} of {prompts.name}, and not {vote.index}"
        for vote in votes
        if vote.index not in indices.get(vote.prompt, [vote.index])
    ]


def _wrong_models(votes: Iterable[Vote], model_hash: str) -> list[str]:
    """Returns a phrase for each other base model, and for each fine-tuned one, that votes name."""
    models = sorted({vote.model_hash for vote in votes if vote.model_hash not in (None, model_hash)}, key=str)
    adapters = sorted({vote.adapter_hash for vote in votes if vote.adapter_hash is not None})
    wrong = [f"images of the model {str(name)[:12]}, not {model_hash[:12]}" for name in models]
    return wrong + [
        f"images of fine-tuned weights ({name[:12]}), and D3PO walks again with the base model" for name in adapters
    ]


def _wrong_samplers(votes: Iterable[Vote], sampler: SamplerConfig) -> list[str]:
    """Returns a phrase for each other sampler that votes name."""
    named = {
        (
            sampler.steps if vote.steps is None else vote.steps,
            sampler.guidance_scale if vote.guidance_scale is None else vote.guidance_scale,
        )
        for vote in votes
    }
    etas = {vote.eta for vote in votes if vote.eta is not None} - {sampler.eta}
    return [
        f"images of {steps} steps and guidance {scale:g}, not {sampler.steps} and {sampler.guidance_scale:g}"
        for steps, scale in sorted(named - {(sampler.steps, sampler.guidance_scale)})
    ] + [f"images of eta {eta:g}, not {sampler.eta:g}" for eta in sorted(etas)]


def _generations(store: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Returns the folder and the key of each generation in the store."""
    records = [(path.parent, find_object(path) or {}) for path in sorted((store / "images").glob("*/record.json"))]
    return [(folder, record["key"]) for folder, record in records if isinstance(record.get("key"), dict)]


def _wrong_images(
    votes: Iterable[Vote], generations: Sequence[tuple[Path, Mapping[str, Any]]], expected: Mapping[str, Any]
) -> list[str]:
    """Returns a phrase for each voted image that the run's base model and sampler did not make.

    Images whose generation is not in the store are not compared.
    """
    ours = [(folder, key) for folder, key in generations if all(key.get(name) == expected[name] for name in expected)]
    wrong = []
    for vote in votes:
        shared = vote.shared_start is True
        folders = [
            folder
            for folder, key in ours
            if key.get("eval_seed") == vote.seed and bool(key.get("shared_start")) == shared
        ]
        for number, sha256 in ((vote.i, vote.sha256_i), (vote.j, vote.sha256_j)):
            sample = Sample(vote.prompt, number, vote.index)
            found = {stored_sha256(folder / file_name(sample), sample, vote.seed) for folder in folders} - {None}
            if sha256 and found and sha256 not in found:
                wrong.append(f"image {number} of {vote.prompt!r}, seed {vote.seed}, is another one in the store")
            elif sha256 and not found and (maker := _maker(sha256, sample, vote.seed, generations)):
                wrong.append(f"image {number} of {vote.prompt!r} was made by {maker}")
    return wrong


def _maker(sha256: str, sample: Sample, seed: int, generations: Sequence[tuple[Path, Mapping[str, Any]]]) -> str | None:
    """Returns what made the image of this hash, or None where it is not in the store under this name."""
    for folder, key in generations:
        if stored_sha256(folder / file_name(sample), sample, seed) == sha256:
            start = ", all images of a prompt from one x_T" if key.get("shared_start") else ""
            return f"the sampler {key.get('sampler')} and the model {str(key.get('model_hash'))[:12]}{start}"
    return None
