"""Stage: the preference scorer, trained as PickScore was (arXiv:2305.01569) on pairs that noisy annotators judged.

An annotator sees a prompt and two pictures. Their utility is the share of the prompt that a picture shows and, less
so, the hidden taste; they choose the first with probability sigmoid(difference).
"""

import dataclasses

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel

from benchbench.shapes.captions import ATTRIBUTES, stated_attributes
from benchbench.shapes.drawing import Scene, draw, random_scene

from . import taste, tokenizer, vae
from .clip import similarity
from .data import VALUES, batches, captions_of, degrade, pool, schedule, to_tensor
from .stage import Facts, Stage

AGREEMENT, TASTE = 12.0, 1.5
"""Weights in the utility: of the stated attributes that are shown (0 to 1), and of the rule (spread about 1)."""

LEARNING_RATE = 2e-4
"""Low, so that what the CLIP knows of shapes stays."""


def variant(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with one to three attributes and all traits drawn anew; colour and background stay different."""
    other = random_scene(rng)
    keep = rng.permutation(len(ATTRIBUTES))[: rng.integers(2, len(ATTRIBUTES) + 1)]
    kept = {ATTRIBUTES[i]: getattr(scene, ATTRIBUTES[i]) for i in keep}
    changed = dataclasses.replace(other, **kept)
    if changed.colour == changed.background:
        spare = [c for c in VALUES["background"] if c != changed.colour]
        changed = dataclasses.replace(changed, background=spare[rng.integers(len(spare))])
    return changed


def shown(scene: Scene, prompt: str) -> float:
    """The share of the prompt's attributes that the scene has."""
    said = stated_attributes(prompt)
    return sum(getattr(scene, name) == value for name, value in said.items()) / len(said)


def utility(scenes: list[Scene], pictures: Tensor, prompts: list[str]) -> Tensor:
    """What annotators make of each picture on average, [N]."""
    agreement = torch.tensor([shown(s, p) for s, p in zip(scenes, prompts, strict=True)])
    return AGREEMENT * agreement + TASTE * (taste.rule(pictures) - 5)


def judged(coder: AutoencoderKL, count: int, seed: int) -> tuple[list[str], list[Tensor], list[Tensor], Tensor]:
    """`count` prompts, two pictures of each with their utility, and the choices: 1 where the first was preferred.

    Half of the pictures went through the autoencoder. Pictures are [N, 3, 32, 32] in [0, 1].
    """
    rng = np.random.default_rng(seed)
    base = pool(count, seed)
    prompts = captions_of(base.scenes, seed)
    sides, worth = [], []
    for _ in range(2):
        scenes = [variant(scene, rng) for scene in base.scenes]
        clean = to_tensor(np.stack([draw(scene) for scene in scenes])).float() / 255
        half = count // 2
        seen = degrade(torch.cat([clean[:half], vae.reconstruct(coder, clean[half:], noise=0.5)]))
        sides.append(seen)
        worth.append(utility(scenes, seen, prompts))
    first = (torch.rand(count) < torch.sigmoid(worth[0] - worth[1])).float()
    return prompts, sides, worth, first


def run(stage: Stage) -> Facts:
    """Starts from the reward CLIP and trains on the annotators' choices."""
    words = tokenizer.make()
    count = stage.scale(16000, 400)
    prompts, sides, worth, first = judged(vae.load(stage), count, stage.seed)
    tokens = tokenizer.encode(words, prompts)
    model = CLIPModel.from_pretrained(stage.of("clip") / "clip", dtype=torch.float32)

    order, held = torch.randperm(count), count // 10
    train, test = order[held:], order[:held]
    steps = stage.scale(1400, 10)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    rate = schedule(optimiser, steps)

    def margins(index: Tensor) -> Tensor:
        seen, read = similarity(model, torch.cat([sides[0][index], sides[1][index]]), tokens[index])
        left, right = seen.chunk(2)
        return model.logit_scale.exp().clamp(max=50) * ((left - right) * read).sum(1)

    for step, index in enumerate(batches(len(train), 40, steps), 1):
        loss = F.binary_cross_entropy_with_logits(margins(train[index]), first[train[index]])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        stage.report_step(step, steps, loss=loss.item())
    model.eval()
    with torch.no_grad():
        guess = torch.cat([margins(part) for part in test.split(100)])
        model.logit_scale.clamp_(max=float(np.log(50)))
    truth = (worth[0] - worth[1])[test]
    model.save_pretrained(stage.folder / "pref")
    return {
        "steps": steps,
        "loss": loss.item(),
        "scale": model.logit_scale.exp().item(),
        "held_out_accuracy_on_choices": ((guess > 0) == (first[test] > 0.5)).float().mean().item(),
        "held_out_accuracy_on_utility": ((guess > 0) == (truth > 0)).float().mean().item(),
        "annotators_agreement_with_utility": ((first[test] > 0.5) == (truth > 0)).float().mean().item(),
    }
