"""Stage: trains shapes-flow, a transformer that predicts the velocity, on latents of the shipped autoencoder.

It starts from what is shipped, in half precision: the model's folder borrows that autoencoder and that text encoder.
"""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from benchbench.shapes_build import flow_model, latents
from benchbench.shapes_build.data import batches, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage
from benchbench.shapes_build.unet import EMPTY, tokens_of, update_average

BATCH = 32
STEPS = 9000
"""These draw simple prompts about as well as the first model does; 3000 drew one shape in two."""
LEARNING_RATE = 1.5e-3
AVERAGE = 0.998
"""The decay of the running average of the weights; the average is what is saved."""


def noised(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Returns (1 - sigma) x0 + sigma noise, for latents [N, 4, 8, 8] and sigma [N] in [0, 1]."""
    return torch.lerp(x0, noise, sigma.view(-1, 1, 1, 1))


def run(stage: Stage) -> Facts:
    """Trains on the mean squared error of the predicted velocity; saves the average of the weights in its folder."""
    folder = stage.folder / "flow" / "model"
    parts = flow_model.borrow(folder)
    data = pool(stage.scale(30000, 600), stage.seed)
    mean, deviation = latents.encode(parts["vae"], data.images)
    tokens, empty = tokens_of(stage, data.scenes)
    net = flow_model.make()
    average = copy.deepcopy(net).requires_grad_(False)
    steps = stage.scale(STEPS, 10)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    rate_schedule = schedule(optimizer, steps)
    recent = 1.0
    for step, index in enumerate(batches(len(data.scenes), BATCH, steps), 1):
        x0 = mean[index] + deviation[index] * torch.randn(BATCH, 4, 8, 8)
        ids = tokens[torch.randint(3, (BATCH,)), index]
        ids = torch.where(torch.rand(BATCH, 1) < EMPTY, empty, ids)
        context, summary = flow_model.encode_text(parts["text_encoder"], ids)
        noise, sigma = torch.randn_like(x0), torch.sigmoid(torch.randn(BATCH))  # logit-normal, as SD3
        predicted = net(noised(x0, noise, sigma), context, summary, 1000 * sigma).sample
        loss = F.mse_loss(predicted, noise - x0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rate_schedule.step()
        # At first the average is over few steps, since the weights change quickly.
        update_average(average, net, min(AVERAGE, step / (step + 10)))
        recent += (loss.item() - recent) / min(step, 100)
        stage.report_step(step, steps, loss=recent)
    flow_model.write(folder, average, parts)
    return {
        "steps": steps,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "loss_mean_of_last_100": recent,
        "pictures": len(data.scenes),
        "parameters": {"transformer": sum(p.numel() for p in net.parameters())},
    }
