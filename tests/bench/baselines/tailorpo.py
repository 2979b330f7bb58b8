"""TailorPO as Algorithm 1 reads, computing each quantity where it is named; there is no released code.

The two candidates are scored in turn, the next step evaluates the network again, and winner and loser have their own
forwards in policy and reference: 62 evaluations a sample, with a gradient counted as 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.bench.baselines.sampler import Model, ddim, decode, encode, pair_loss, predict

STEPS = (20, 16, 12, 8, 4)
Reward = Callable[[Tensor, Sequence[str]], Tensor]


def step_reward(model: Model, x: Tensor, t: Tensor, text: Tensor, prompts: Sequence[str], reward: Reward) -> Tensor:
    """Returns r(c, x̂0(x_t)), [N]."""
    _, _, x0 = ddim(model, predict(model, model.unet, x, t, text), t, x)
    return reward(decode(model, x0), prompts)


def guided(model: Model, x: Tensor, t: Tensor, text: Tensor, prompts: Sequence[str], reward: Reward, k: int) -> Tensor:
    """Returns the winner, moved along the reward's gradient."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        r = step_reward(model, x, t, text, prompts, reward)
        (gradient,) = torch.autograd.grad(((r.detach() + 0.5 - r) ** 2).sum(), x)
    eta = 0.1 + 0.05 * (1 + math.cos(math.pi * k / model.steps))
    return (x - eta * gradient).detach()


def iteration(model: Model, prompts: Sequence[str], reward: Reward, guidance: bool = False) -> None:
    """Runs one rollout and takes one optimizer step."""
    times, pairs = model.scheduler.timesteps, []
    with torch.no_grad():
        text = encode(model, prompts)
        x = torch.randn(len(prompts), *model.latent_shape, device=model.device)
        for i, t in enumerate(times):
            k, at = model.steps - i, t.repeat(len(x))
            e = predict(model, model.unet, x, at, text)
            if k not in STEPS:
                x, _, _ = ddim(model, e, at, x)
                continue
            after = times[i + 1].repeat(len(x))
            a, b = (ddim(model, e, at, x)[0] for _ in range(2))
            r_a, r_b = (step_reward(model, c, after, text, prompts, reward) for c in (a, b))
            first_wins = (r_a >= r_b).view(-1, 1, 1, 1)
            winner, loser = torch.where(first_wins, a, b), torch.where(first_wins, b, a)
            if guidance:
                winner = guided(model, winner, after, text, prompts, reward, k)
            pairs.append((x, at, winner, loser))
            x = winner
    text = encode(model, prompts)
    for x, at, winner, loser in pairs:
        theta, ref = [], []
        for side in (winner, loser):
            theta.append(ddim(model, predict(model, model.unet, x, at, text), at, x, side)[1])
            with torch.no_grad():
                ref.append(ddim(model, predict(model, model.ref, x, at, text), at, x, side)[1])
        (pair_loss(theta, ref, beta=0.1) / len(pairs)).backward()
    model.learn()
