"""Stage: the step-aware preference scorer, trained as SPO's (arXiv:2406.04314) on predictions of the shipped model.

Only the layers that a plain CLIP does not have are trained: the image tower stays shapes-pref's, and what is shipped
is small. Held out, it is compared with shapes-pref on the same predictions.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from safetensors.torch import save_file
from transformers import CLIPModel

from benchbench.diffusion import backbones
from benchbench.diffusion.backbones import Backbone
from benchbench.pairs.dataset import PairSet
from benchbench.runtime.files import replacing
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.json_files import write_json
from benchbench.train.preference_model import Pairs, SPMConfig, compare, train_spm

from . import tokenizer
from .pref import judged
from .stage import Facts, Stage

TAUS = (51, 251, 501, 701, 951)
"""Where the released code evaluates too (0 in place of 51)."""
NOISY = 500


class Scorer:
    """The plain and the step-aware score of one CLIP, with the interface of a reward."""

    def __init__(self, clip: CLIPModel) -> None:
        from benchbench.reward_models._adaln import StepAwareCLIP

        self.network = StepAwareCLIP(clip)
        self.words = tokenizer.make()

    def score_at(self, images, prompts, tau):  # type: ignore[no-untyped-def]
        """exp(logit_scale) cos, [N], of pictures [N, 3, 32, 32] in [0, 1]."""
        with torch.no_grad():
            read = self.network.embed_text(tokenizer.encode(self.words, list(prompts)))
        return self.network.score(self.network.embed_images(2 * images - 1, tau), read)


def load(folder: Path) -> CLIPModel:
    """A CLIP in float32."""
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
    log: Callable[[str], None],
    pairs: PairSet | None = None,
) -> Facts:
    """Trains on ``count`` fresh pairs of the preference scorer's annotators, or on ``pairs`` if they are given,
    compares on ``held_out`` others of the annotators, writes the folder.
    """
    chosen: Pairs | PairSet  # before the network is loaded: both draw from torch's own generator
    if pairs is None:
        prompts, (first, second), _, label = judged(backbone.vae, count, seed)
        chosen = Pairs(prompts, first, second, label)
    else:
        chosen, count = pairs, len(pairs)
    scorer = Scorer(load(pref))
    loss = train_spm(scorer, scorer.network, backbone, chosen, config, seed, log)

    added = {name: p.detach().half().contiguous() for name, p in scorer.network.added_parameters().items()}
    file = folder / "spm.safetensors"
    with replacing(file) as temporary:
        save_file(added, temporary)
    scorer.network.load({name: value.float() for name, value in added.items()}, "what was saved")
    plain = Scorer(load(pref))
    prompts, (first, second), worth, label = judged(backbone.vae, held_out, seed + 1)
    held = Pairs(prompts, first, second, label)
    judges = {"step_aware": scorer.score_at, "plain": plain.score_at}
    right = compare(judges, backbone, held, worth[0] - worth[1], TAUS, config.guidance_scale, seed + 2)
    facts: Facts = {"config": config.model_dump(), "loss": loss, "pairs": count, "pairs_held_out": len(held)}
    if pairs is not None:
        facts["pairs_from"] = {"name": pairs.name, "hash": pairs.hash}
    facts["parameters"] = sum(value.numel() for value in added.values())
    facts["held_out_accuracy_on_utility"] = {
        name: {t: fmean(rows) for t, rows in by_tau.items()} for name, by_tau in right.items()
    }
    facts["at_t_of_500_and_more"] = noisy(right)
    record = {"seed": seed, "quick": quick, "torch": torch.__version__} | facts
    record["files"] = {"spm/spm.safetensors": file_sha256(file)}
    write_json(folder / "record.json", record, indent=2)
    return facts


def run(stage: Stage) -> Facts:
    """Of the shipped half-precision parts, as the reward will use it."""
    shipped = stage.of("ship")
    steps, warm_up = stage.scale(500, 5), stage.scale(50, 2)
    config = SPMConfig(steps=steps, batch=24, lr=1e-3, weight_decay=0.01, warm_up=warm_up, parts="added")
    count, held_out = stage.scale(8000, 60), stage.scale(600, 20)
    backbone = backbones.load(str(shipped / "model"), "cpu")
    return make(
        stage.folder / "spm", backbone, shipped / "pref", config, count, held_out, stage.seed, stage.quick, stage.log
    )


def noisy(right: dict[str, dict[str, list[bool]]]) -> Facts:
    """Mean accuracies over timesteps of 500 and more, their difference, and its standard error over pairs."""
    gains = []
    means = {}
    taus = [t for t in next(iter(right.values())) if int(t) >= NOISY]
    for name, by_tau in right.items():
        means[name] = fmean(fmean(by_tau[t]) for t in taus)
    for pair in range(len(right["plain"][taus[0]])):
        gains.append(fmean(right["step_aware"][t][pair] - right["plain"][t][pair] for t in taus))
    error = (fmean((gain - fmean(gains)) ** 2 for gain in gains) / len(gains)) ** 0.5
    return means | {"gain": fmean(gains), "standard_error": error}
