"""Stage: the aesthetic scorer, a regression of annotators' opinions on pixels."""

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from benchbench.shapes.nets import AestheticNet

from . import taste, vae
from .data import batches, degrade, pool, schedule
from .stage import Facts, Stage


def run(stage: Stage) -> Facts:
    """Trains on drawings and reconstructions, each with one annotator's opinion."""
    data = pool(stage.scale(10000, 500), stage.seed)
    coder = vae.load(stage)
    clean = data.images.float() / 255
    half = len(clean) // 2
    pictures = degrade(torch.cat([clean[:half], vae.reconstruct(coder, clean[half:], noise=0.5)]))
    liked = taste.opinions(pictures)
    held = int(0.9 * len(pictures))
    order = torch.randperm(len(pictures))
    pictures, liked = pictures[order], liked[order]

    net, steps = AestheticNet(), stage.scale(2500, 30)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    rate = schedule(optimiser, steps)
    for step, index in enumerate(batches(held, 48, steps), 1):
        loss = F.mse_loss(net(pictures[index]), liked[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        stage.report_step(step, steps, loss=loss.item())
    with torch.no_grad():
        guess = torch.cat([net(part) for part in pictures[held:].split(250)])
    pairs = torch.stack([guess, taste.rule(pictures[held:]), liked[held:]])
    save_file(net.state_dict(), stage.folder / "aesthetic.safetensors")
    correlation = torch.corrcoef(pairs)
    return {
        "steps": steps,
        "loss": loss.item(),
        "held_out_correlation_with_rule": correlation[0, 1].item(),
        "held_out_correlation_with_opinions": correlation[0, 2].item(),
        "opinion_noise_sd": taste.OPINION,
        "rule_sd": pairs[1].std().item(),
    }
