"""Stage: trains the step-aware preference scorer as SPO's (arXiv:2406.04314), on predictions of the shipped model.

Only the layers that a plain CLIP does not have are trained and shipped; the image tower stays that of shapes-pref. The
step-agnostic scorer has no such layers, and its image tower is trained. On held-out pairs, each is compared with
shapes-pref on the same predictions.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPModel

from benchbench.diffusion import backbones
from benchbench.diffusion.backbones import Backbone
from benchbench.pairs.dataset import PairSet
from benchbench.reward_models._adaln import StepAwareCLIP
from benchbench.reward_models._agnostic import StepAgnosticCLIP
from benchbench.runtime.files import Log, replacing
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.json_files import write_json
from benchbench.shapes_build import tokenizer
from benchbench.shapes_build.pref import annotated_pairs
from benchbench.shapes_build.stage import Facts, Stage
from benchbench.train.preference_model import PicturePairs, SPMConfig, compare, train_spm

TAUS = (51, 251, 501, 701, 951)
"""The timesteps of the comparison, those of the released code but for 51, which is 0 there."""
NOISY = 500  # timesteps from here on count as noisy
NETWORKS = {"spm": (StepAwareCLIP, 1e-3), "step-agnostic": (StepAgnosticCLIP, 1e-4)}
"""By folder, the network and its learning rate."""


class Scorer:
    """Scores pictures with a step-aware CLIP, which scores like a plain one until it is trained."""

    def __init__(self, clip: CLIPModel, network: type[StepAwareCLIP] = StepAwareCLIP) -> None:
        self.network = network(clip)
        self.tokenizer = tokenizer.make()

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
        """Returns exp(logit_scale) cos, [N], of pictures [N, 3, 32, 32] in [0, 1] at timesteps [N]."""
        with torch.no_grad():
            texts = self.network.embed_text(tokenizer.encode(self.tokenizer, list(prompts)))
        return self.network.score(self.network.embed_images(2 * images - 1, tau), texts)


def load(folder: Path) -> CLIPModel:
    """Returns a CLIP in float32, frozen."""
    return CLIPModel.from_pretrained(folder, dtype=torch.float32).requires_grad_(False).eval()


def make(
    folder: Path,
    backbone: Backbone,
    pref: Path,
    config: SPMConfig,
    count: int,
    held_out: int,
    seed: int,
    quick: bool,
    log: Log,
    pairs: PairSet | None = None,
    network: type[StepAwareCLIP] = StepAwareCLIP,
    taus: Sequence[int] = TAUS,
) -> Facts:
    """Trains on ``count`` fresh pairs of the annotators, or on ``pairs`` if given; writes ``folder``, returns facts.

    The comparison with the plain CLIP in ``pref`` is on ``held_out`` other pairs of the annotators, at the timesteps
    ``taus``. ``network`` may be the step-agnostic one, which is then compared as ``step_agnostic``.
    """
    # the pairs come before the network, since drawing and loading both use torch's global generator
    training_pairs: PicturePairs | PairSet
    if pairs is None:
        prompts, (first, second), _, label = annotated_pairs(backbone.vae, count, seed)
        training_pairs = PicturePairs(prompts, first, second, label)
    else:
        training_pairs, count = pairs, len(pairs)
    scorer = Scorer(load(pref), network)
    loss = train_spm(scorer, scorer.network, backbone, training_pairs, config, seed, log)

    added = {name: p.detach().half().contiguous() for name, p in scorer.network.added_parameters().items()}
    file = folder / "spm.safetensors"
    with replacing(file) as temporary:
        save_file(added, temporary)
    scorer.network.load({name: value.float() for name, value in added.items()}, "the saved layers", added_only=True)
    plain = Scorer(load(pref))
    prompts, (first, second), utilities, label = annotated_pairs(backbone.vae, held_out, seed + 1)
    held_out_pairs = PicturePairs(prompts, first, second, label)
    name = "step_aware" if network is StepAwareCLIP else "step_agnostic"
    scorers = {name: scorer.score_at, "plain": plain.score_at}
    difference = utilities[0] - utilities[1]
    correct = compare(scorers, backbone, held_out_pairs, difference, taus, config.guidance_scale, seed + 2)
    facts: Facts = {"config": config.model_dump(), "loss": loss, "pairs": count, "pairs_held_out": len(held_out_pairs)}
    if pairs is not None:
        facts["pairs_from"] = {"name": pairs.name, "hash": pairs.hash}
    facts["parameters"] = sum(value.numel() for value in added.values())
    facts["held_out_accuracy_on_utility"] = {
        name: {t: fmean(rows) for t, rows in by_tau.items()} for name, by_tau in correct.items()
    }
    facts["at_t_of_500_and_more"] = noisy_accuracy(correct)
    record = {"seed": seed, "quick": quick, "torch": torch.__version__} | facts
    record["files"] = {f"{folder.name}/{file.name}": file_sha256(file)}
    write_json(folder / "record.json", record, indent=2)
    return facts


def run(stage: Stage) -> Facts:
    """Trains on the shipped half-precision model and preference scorer, which the rewards use; returns the facts.

    The step-agnostic scorer learns from the same predictions, which the seed decides.
    """
    backbone = backbones.load(str(stage.of("ship") / "model"), "cpu")
    facts = {
        name: make_in_build(stage, stage.folder / name, backbone, lr, network)
        for name, (network, lr) in NETWORKS.items()
    }
    return facts["spm"] | {"step_agnostic": facts["step-agnostic"]}


def make_in_build(
    stage: Stage,
    folder: Path,
    backbone: Backbone,
    lr: float,
    network: type[StepAwareCLIP] = StepAwareCLIP,
    taus: Sequence[int] = TAUS,
    guidance_scale: float = 5.0,
) -> Facts:
    """Trains a scorer in a build, on the shipped preference scorer; writes ``folder`` and returns the facts."""
    config = SPMConfig(
        steps=stage.scale(500, 5),
        batch=24,
        lr=lr,
        weight_decay=0.01,
        warm_up=stage.scale(50, 2),
        guidance_scale=guidance_scale,
        parts="added",
    )
    return make(
        folder,
        backbone,
        stage.of("ship") / "pref",
        config,
        stage.scale(8000, 60),
        stage.scale(600, 20),
        stage.seed,
        stage.quick,
        stage.log,
        network=network,
        taus=taus,
    )


def noisy_accuracy(correct: dict[str, dict[str, list[bool]]]) -> Facts:
    """Returns mean accuracies at timesteps of 500 and more, their difference, and its standard error over pairs."""
    gains = []
    means = {}
    trained = next(name for name in correct if name != "plain")
    taus = [t for t in next(iter(correct.values())) if int(t) >= NOISY]
    for name, by_tau in correct.items():
        means[name] = fmean(fmean(by_tau[t]) for t in taus)
    for pair in range(len(correct["plain"][taus[0]])):
        gains.append(fmean(correct[trained][t][pair] - correct["plain"][t][pair] for t in taus))
    error = (fmean((gain - fmean(gains)) ** 2 for gain in gains) / len(gains)) ** 0.5
    return means | {"gain": fmean(gains), "standard_error": error}
