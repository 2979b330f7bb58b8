"""Stage: trains the aesthetic scorer, a regression of annotators' opinions on pixels."""

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from benchbench.shapes.nets import AestheticNet
from benchbench.shapes_build import taste, vae
from benchbench.shapes_build.data import batches, degrade, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage


def run(stage: Stage) -> Facts:
    """Trains on drawings and reconstructions with one annotator's opinion each; returns the facts for the record."""
    data = pool(stage.scale(10000, 500), stage.seed)
    autoencoder = vae.load(stage)
    clean = data.images.float() / 255
    half = len(clean) // 2
    pictures = degrade(torch.cat([clean[:half], vae.reconstruct(autoencoder, clean[half:], noise=0.5)]))
    opinions = taste.opinions(pictures)
    train_count = int(0.9 * len(pictures))
    order = torch.randperm(len(pictures))
    pictures, opinions = pictures[order], opinions[order]

    net, steps = AestheticNet(), stage.scale(2500, 30)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    rate_schedule = schedule(optimizer, steps)
    for step, index in enumerate(batches(train_count, 48, steps), 1):
        loss = F.mse_loss(net(pictures[index]), opinions[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate_schedule.step()
        stage.report_step(step, steps, loss=loss.item())
    with torch.no_grad():
        predicted = torch.cat([net(part) for part in pictures[train_count:].split(250)])
    held_out = torch.stack([predicted, taste.rule(pictures[train_count:]), opinions[train_count:]])
    save_file(net.state_dict(), stage.folder / "aesthetic.safetensors")
    correlation = torch.corrcoef(held_out)
    return {
        "steps": steps,
        "loss": loss.item(),
        "held_out_correlation_with_rule": correlation[0, 1].item(),
        "held_out_correlation_with_opinions": correlation[0, 2].item(),
        "opinion_noise_sd": taste.OPINION,
        "rule_sd": held_out[1].std().item(),
    }
