"""Stage: trains the preference scorer as PickScore (arXiv:2305.01569), on the choices of noisy annotators.

An annotator sees a prompt and two pictures. A picture's utility grows with the share of the prompt that it shows and,
less so, with the hidden taste; the first is chosen with probability sigmoid(utility of the first - of the second).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel

from benchbench.shapes.attributes import ATTRIBUTES, VALUES
from benchbench.shapes.captions import stated_attributes
from benchbench.shapes.drawing import Scene, draw, random_scene
from benchbench.shapes_build import taste, tokenizer, vae
from benchbench.shapes_build.clip import embed
from benchbench.shapes_build.data import batches, captions_of, degrade, pool, schedule, to_tensor
from benchbench.shapes_build.stage import Facts, Stage

AGREEMENT, TASTE = 12.0, 1.5
"""The weights in the utility: of the share of the prompt that is shown, and of the taste (spread about 1)."""

LEARNING_RATE = 2e-4
"""Low, so that the CLIP does not forget the shapes."""
STEPS, BATCH = 1400, 40
WARM_UP = 100
LARGEST_SCALE = 50.0


def warm_up(steps: int) -> int:
    """Returns the steps over which the rate rises: the same share of a short training as of the whole one."""
    return max(1, WARM_UP * steps // STEPS)


def variant(scene: Scene, rng: np.random.Generator) -> Scene:
    """Returns the scene with up to three attributes and all traits redrawn; colour and background stay different."""
    fresh = random_scene(rng)
    keep = rng.permutation(len(ATTRIBUTES))[: rng.integers(2, len(ATTRIBUTES) + 1)]
    attributes = {ATTRIBUTES[i]: getattr(scene, ATTRIBUTES[i]) for i in keep}
    changed = dataclasses.replace(fresh, **attributes)
    if changed.colour == changed.background:
        colours = [c for c in VALUES["background"] if c != changed.colour]
        changed = dataclasses.replace(changed, background=colours[rng.integers(len(colours))])
    return changed


def shown(scene: Scene, prompt: str) -> float:
    """Returns the share of the prompt's attributes that the scene has."""
    stated = stated_attributes(prompt)
    shown_count: int = sum(getattr(scene, name) == value for name, value in stated.items())
    return shown_count / len(stated)


def utility(scenes: list[Scene], pictures: Tensor, prompts: list[str]) -> Tensor:
    """Returns each picture's utility to the annotators, [N]."""
    agreement = torch.tensor([shown(s, p) for s, p in zip(scenes, prompts, strict=True)])
    return AGREEMENT * agreement + TASTE * (taste.rule(pictures) - 5)


def annotated_pairs(
    autoencoder: AutoencoderKL, count: int, seed: int
) -> tuple[list[str], list[Tensor], list[Tensor], Tensor]:
    """Returns `count` prompts, two lists of pictures, their utilities, and the choices: 1 where the first is preferred.

    Half of the pictures are reconstructions. Each list of pictures is a tensor [N, 3, 32, 32] in [0, 1].
    """
    rng = np.random.default_rng(seed)
    base = pool(count, seed)
    prompts = captions_of(base.scenes, seed)
    pictures, utilities = [], []
    for _ in range(2):
        scenes = [variant(scene, rng) for scene in base.scenes]
        clean = to_tensor(np.stack([draw(scene) for scene in scenes])).float() / 255
        half = count // 2
        degraded = degrade(torch.cat([clean[:half], vae.reconstruct(autoencoder, clean[half:], noise=0.5)]))
        pictures.append(degraded)
        utilities.append(utility(scenes, degraded, prompts))
    choices = (torch.rand(count) < torch.sigmoid(utilities[0] - utilities[1])).float()
    return prompts, pictures, utilities, choices


@dataclasses.dataclass(frozen=True)
class Choices:
    """Choices between two pictures of each prompt."""

    tokens: Tensor  # [N, L] int64
    pictures: list[Tensor]  # two of [N, 3, 32, 32], in [0, 1]
    first: Tensor  # [N], 1 where the first picture was chosen

    def margins(self, model: CLIPModel, rows: Tensor) -> Tensor:
        """Returns the log-odds, by a CLIP, that the first picture of each row is chosen: [len(rows)]."""
        images, texts = embed(model, torch.cat([pictures[rows] for pictures in self.pictures]), self.tokens[rows])
        first, second = images.chunk(2)
        margin: Tensor = model.logit_scale.exp().clamp(max=LARGEST_SCALE) * ((first - second) * texts).sum(1)
        return margin


def fit(model: CLIPModel, choices: Choices, rows: Tensor, steps: int, report: Callable[[int, float], None]) -> float:
    """Trains a CLIP on some of the choices; returns the last loss. ``report`` gets each step and its loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    rate_schedule = schedule(optimizer, steps, warm_up(steps))
    for step, index in enumerate(batches(len(rows), BATCH, steps), 1):
        loss = F.binary_cross_entropy_with_logits(choices.margins(model, rows[index]), choices.first[rows[index]])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate_schedule.step()
        report(step, loss.item())
    model.eval()
    with torch.no_grad():
        model.logit_scale.clamp_(max=float(np.log(LARGEST_SCALE)))
    return loss.item()


def run(stage: Stage) -> Facts:
    """Trains the reward's CLIP further, on the annotators' choices; returns the facts for the record."""
    count = stage.scale(16000, 400)
    prompts, pictures, utilities, first = annotated_pairs(vae.load(stage), count, stage.seed)
    choices = Choices(tokenizer.encode(tokenizer.make(), prompts), pictures, first)
    model = CLIPModel.from_pretrained(stage.of("clip") / "clip", dtype=torch.float32)

    order, held_out = torch.randperm(count), count // 10
    train, test = order[held_out:], order[:held_out]
    steps = stage.scale(STEPS, 10)
    loss = fit(model, choices, train, steps, lambda step, loss: stage.report_step(step, steps, loss=loss))
    with torch.no_grad():
        predicted = torch.cat([choices.margins(model, part) for part in test.split(100)])
    difference = (utilities[0] - utilities[1])[test]
    model.save_pretrained(stage.folder / "pref")
    return {
        "steps": steps,
        "loss": loss,
        "scale": model.logit_scale.exp().item(),
        "held_out_accuracy_on_choices": ((predicted > 0) == (first[test] > 0.5)).float().mean().item(),
        "held_out_accuracy_on_utility": ((predicted > 0) == (difference > 0)).float().mean().item(),
        "annotators_agreement_with_utility": ((first[test] > 0.5) == (difference > 0)).float().mean().item(),
    }
