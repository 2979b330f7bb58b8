"""Stage: trains the reward's CLIP on captions. It shares neither seed nor weights with the pipeline's text tower."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig

from benchbench.shapes.attributes import ATTRIBUTES, VALUES
from benchbench.shapes.captions import phrase, stated_attributes
from benchbench.shapes_build import features, text, tokenizer, vae
from benchbench.shapes_build.data import Pool, batches, captions_of, degrade, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage

CAPTION_NOISE = 0.03
"""The share of captions with one wrong attribute, since real annotators make mistakes, too."""


def make(vocabulary: int) -> CLIPModel:
    """Returns an untrained CLIP: 4 vision layers on patches of 4x4 pixels, half a million parameters in all."""
    text_config = text.config(vocabulary, projection_dim=64)
    vision = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=32,
        patch_size=4,
        projection_dim=64,
    )
    towers = {"text_config": text_config.to_dict(), "vision_config": vision.to_dict()}
    return CLIPModel(CLIPConfig(**towers, projection_dim=64, logit_scale_init_value=2.66))


def alter(caption: str, rng: np.random.Generator) -> str:
    """Returns the caption with one stated attribute changed; half of the time it is the shape."""
    stated = stated_attributes(caption)
    names = list(stated)
    name = "shape" if rng.random() < 0.5 else names[rng.integers(len(names))]
    values = [value for value in VALUES[name] if value != stated[name]]
    return phrase(stated | {name: values[rng.integers(len(values))]})


def pictures(stage: Stage, data: Pool) -> Tensor:
    """Returns the pool's pictures, uint8; the second half is reconstructed from latents with some noise added."""
    half = len(data.images) // 2
    reconstructed = vae.reconstruct(vae.load(stage), data.images[half:].float() / 255, noise=0.5)
    return torch.cat([data.images[:half], (reconstructed * 255).round().byte()])


def embed(model: CLIPModel, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Returns unit vectors of N pictures [N, 3, 32, 32] in [0, 1] and of M texts, whose token ids are [M, 20]."""
    images = model.visual_projection(model.vision_model(2 * pixels - 1).pooler_output)
    texts = model.text_projection(model.text_model(tokens).pooler_output)
    return F.normalize(images, dim=-1), F.normalize(texts, dim=-1)


def _accuracy(model: CLIPModel, pixels: Tensor, right: Tensor, wrong: Tensor) -> dict[str, float]:
    """Returns the share of pictures nearer to their caption than to the altered one, and top-1 within groups of 50."""
    model.eval()
    with torch.no_grad():
        images, texts = embed(model, pixels, right)
        altered = embed(model, pixels[:1], wrong)[1]
    pairs = ((images * texts).sum(1) > (images * altered).sum(1)).float().mean().item()
    groups = zip(images.split(50), texts.split(50), strict=True)
    correct = [(a @ b.T).argmax(1) == torch.arange(len(a)) for a, b in groups]
    return {
        "caption_before_altered_one": pairs,
        "top1_of_50": torch.cat(correct).float().mean().item(),
        "mean_cosine": (images * texts).sum(1).mean().item(),
    }


def run(stage: Stage) -> Facts:
    """Trains contrastively with altered captions as hard negatives, and with heads that name a picture's attributes."""
    clip_tokenizer = tokenizer.make()
    data = pool(stage.scale(20000, 600), stage.seed)
    images = pictures(stage, data)
    rng = np.random.default_rng(stage.seed)
    captions = captions_of(data.scenes, stage.seed)
    altered = [alter(caption, rng) for caption in captions]
    noisy = [alter(c, rng) if rng.random() < CAPTION_NOISE else c for c in captions]
    tokens, wrong, true = (tokenizer.encode(clip_tokenizer, part) for part in (noisy, altered, captions))

    model = make(len(clip_tokenizer))
    heads = nn.ModuleList([nn.Linear(96, len(VALUES[name])) for name in ATTRIBUTES])
    steps, train = stage.scale(2400, 15), len(captions) - 1000 if not stage.quick else 500
    order = torch.randperm(len(captions))
    optimizer = torch.optim.AdamW([*model.parameters(), *heads.parameters()], lr=1e-3, weight_decay=0.05)
    rate_schedule = schedule(optimizer, steps, warm_up=200)
    for step, batch in enumerate(batches(train, 64, steps), 1):
        index = order[batch]
        pixels = degrade(images[index].float() / 255)
        summary = model.vision_model(2 * pixels - 1).pooler_output
        image_vectors = F.normalize(model.visual_projection(summary), dim=-1)
        both_texts = model.text_model(torch.cat([tokens[index], wrong[index]])).pooler_output
        text_vectors, altered_vectors = F.normalize(model.text_projection(both_texts), dim=-1).chunk(2)
        scale = model.logit_scale.exp().clamp(max=50)
        pairing = text.contrastive(image_vectors, text_vectors, scale.log())
        margin = scale * ((image_vectors * text_vectors).sum(1) - (image_vectors * altered_vectors).sum(1))
        naming = features.attribute_loss([head(summary) for head in heads], data.labels[index])
        loss = pairing + F.softplus(-margin).mean() + naming
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate_schedule.step()
        stage.report_step(step, steps, pairing=pairing.item(), naming=naming.item(), margin=margin.mean().item())
    held_out = order[train : train + 1000]
    held_out = held_out[: len(held_out) // 50 * 50]
    accuracy = _accuracy(model, images[held_out].float() / 255, true[held_out], wrong[held_out])
    model.save_pretrained(stage.folder / "clip")
    return {
        "steps": steps,
        "loss": loss.item(),
        "scale": float(scale),
        "caption_noise": CAPTION_NOISE,
        "held_out": accuracy,
    }
