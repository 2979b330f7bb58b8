"""Stage: the reward's CLIP, trained on captions; it shares neither seed nor weights with the pipeline's text tower."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig

from benchbench.shapes.captions import ATTRIBUTES, phrase, stated_attributes

from . import features, text, tokenizer, vae
from .data import VALUES, Pool, batches, captions_of, degrade, pool, schedule
from .stage import Facts, Stage

CAPTION_NOISE = 0.03
"""Share of captions with one attribute wrong: the annotators who wrote them are not perfect."""


def make(vocabulary: int) -> CLIPModel:
    """An untrained CLIP: a vision tower of 4 layers on patches of 4x4 pixels, half a million parameters in all."""
    words = text.config(vocabulary, projection_dim=64)
    vision = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=32,
        patch_size=4,
        projection_dim=64,
    )
    both = {"text_config": words.to_dict(), "vision_config": vision.to_dict()}
    return CLIPModel(CLIPConfig(**both, projection_dim=64, logit_scale_init_value=2.66))


def alter(caption: str, rng: np.random.Generator) -> str:
    """The caption with one stated attribute changed; every second time it is the shape."""
    said = stated_attributes(caption)
    names = list(said)
    name = "shape" if rng.random() < 0.5 else names[rng.integers(len(names))]
    others = [value for value in VALUES[name] if value != said[name]]
    return phrase(said | {name: others[rng.integers(len(others))]})


def pictures(stage: Stage, data: Pool) -> Tensor:
    """The pool's pictures, uint8, the second half through the autoencoder with some noise on the latents."""
    half = len(data.images) // 2
    again = vae.reconstruct(vae.load(stage), data.images[half:].float() / 255, noise=0.5)
    return torch.cat([data.images[:half], (again * 255).round().byte()])


def similarity(model: CLIPModel, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of pictures [N, 3, 32, 32] in [0, 1] and of token ids [M, 20]."""
    seen = model.visual_projection(model.vision_model(2 * pixels - 1).pooler_output)
    read = model.text_projection(model.text_model(tokens).pooler_output)
    return F.normalize(seen, dim=-1), F.normalize(read, dim=-1)


def _accuracy(model: CLIPModel, pixels: Tensor, right: Tensor, wrong: Tensor) -> dict[str, float]:
    """Share of pictures nearer to their caption than to the altered one, and top-1 within groups of 50."""
    model.eval()
    with torch.no_grad():
        seen, read = similarity(model, pixels, right)
        altered = similarity(model, pixels[:1], wrong)[1]
    pairs = ((seen * read).sum(1) > (seen * altered).sum(1)).float().mean().item()
    groups = [(a @ b.T).argmax(1) == torch.arange(len(a)) for a, b in zip(seen.split(50), read.split(50), strict=True)]
    return {
        "caption_before_altered_one": pairs,
        "top1_of_50": torch.cat(groups).float().mean().item(),
        "mean_cosine": (seen * read).sum(1).mean().item(),
    }


def run(stage: Stage) -> Facts:
    """Contrastive training with altered captions as hard negatives; heads on the image side name attributes."""
    words = tokenizer.make()
    data = pool(stage.scale(20000, 600), stage.seed)
    images = pictures(stage, data)
    rng = np.random.default_rng(stage.seed)
    captions = captions_of(data.scenes, stage.seed)
    altered = [alter(caption, rng) for caption in captions]
    noisy = [alter(c, rng) if rng.random() < CAPTION_NOISE else c for c in captions]
    tokens, wrong, true = (tokenizer.encode(words, part) for part in (noisy, altered, captions))

    model = make(len(words))
    heads = nn.ModuleList([nn.Linear(96, len(VALUES[name])) for name in ATTRIBUTES])
    steps, train = stage.scale(2400, 15), len(captions) - 1000 if not stage.quick else 500
    order = torch.randperm(len(captions))
    optimiser = torch.optim.AdamW([*model.parameters(), *heads.parameters()], lr=1e-3, weight_decay=0.05)
    rate = schedule(optimiser, steps, warm_up=200)
    for step, batch in enumerate(batches(train, 64, steps), 1):
        index = order[batch]
        pixels = degrade(images[index].float() / 255)
        summary = model.vision_model(2 * pixels - 1).pooler_output
        seen = F.normalize(model.visual_projection(summary), dim=-1)
        both = model.text_model(torch.cat([tokens[index], wrong[index]])).pooler_output
        read, other = F.normalize(model.text_projection(both), dim=-1).chunk(2)
        scale = model.logit_scale.exp().clamp(max=50)
        pairing = text.contrastive(seen, read, scale.log())
        margin = scale * ((seen * read).sum(1) - (seen * other).sum(1))
        naming = features.attribute_loss([head(summary) for head in heads], data.labels[index])
        loss = pairing + F.softplus(-margin).mean() + naming
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        stage.report_step(step, steps, pairing=pairing.item(), naming=naming.item(), margin=margin.mean().item())
    last = order[train : train + 1000]
    last = last[: len(last) // 50 * 50]
    accuracy = _accuracy(model, images[last].float() / 255, true[last], wrong[last])
    model.save_pretrained(stage.folder / "clip")
    return {
        "steps": steps,
        "loss": loss.item(),
        "scale": float(scale),
        "caption_noise": CAPTION_NOISE,
        "held_out": accuracy,
    }
