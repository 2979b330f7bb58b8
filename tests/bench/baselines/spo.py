"""SPO as its released trainer does it: four candidates a step in one batch, then four forwards for each pair.

The released rollout reuses the evaluations of the candidate that it continues from, and so does this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.bench.baselines.sampler import Model, ddim, decode, encode, pair_loss, predict

CANDIDATES, FIRST, THRESHOLD, MINIBATCH = 4, 16, 0.0, 64  # with the threshold 0 every pair counts, whatever the reward


def iteration(model: Model, prompts: Sequence[str], reward: Callable[[Tensor, Sequence[str], Tensor], Tensor]) -> None:
    """Runs one rollout and takes an optimizer step for each minibatch of its valid pairs."""
    n, times = len(prompts), model.scheduler.timesteps
    pair_parts: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        text = encode(model, prompts)
        x = torch.randn(n, *model.latent_shape, device=model.device)
        for t in times[: model.steps - FIRST]:
            at = t.repeat(n)
            x, _, _ = ddim(model, predict(model, model.unet, x, at, text), at, x)
        at = times[model.steps - FIRST].repeat(n)
        e = predict(model, model.unet, x, at, text)
        empty, prompt_text = text.chunk(2)
        candidate_text = torch.cat([empty.repeat(CANDIDATES, 1, 1), prompt_text.repeat(CANDIDATES, 1, 1)])
        for k in range(FIRST, 0, -1):
            drawn = torch.cat([ddim(model, e, at, x)[0] for _ in range(CANDIDATES)])
            if k > 1:
                after = times[model.steps - k + 1].repeat(n * CANDIDATES)
                ahead = predict(model, model.unet, drawn, after, candidate_text)
                x0 = ddim(model, ahead, after, drawn)[2]
            else:
                after, ahead, x0 = torch.zeros_like(at).repeat(CANDIDATES), drawn, drawn
            score = reward(decode(model, x0), list(prompts) * CANDIDATES, after).view(CANDIDATES, n)
            best, worst, rows = score.argmax(0), score.argmin(0), torch.arange(n, device=x.device)
            chance = torch.softmax(torch.stack([score[best, rows], score[worst, rows]]), 0)
            valid = chance[0] - chance[1] > THRESHOLD
            pools = drawn.view(CANDIDATES, n, *x.shape[1:])
            pair = (x, at, pools[best, rows], pools[worst, rows], prompt_text)
            pair_parts.append(tuple(part[valid] for part in pair))
            chosen_rows = torch.randint(CANDIDATES, (n,), device=x.device) * n + rows
            x, e, at = drawn[chosen_rows], ahead[chosen_rows], after[chosen_rows]
    pairs = [torch.cat(parts) for parts in zip(*pair_parts, strict=True)]
    order = torch.randperm(len(pairs[0]), device=x.device)
    for start in range(0, len(order), MINIBATCH):
        x, at, winner, loser, prompt_text = (part[order[start : start + MINIBATCH]] for part in pairs)
        text = torch.cat([empty[:1].expand(len(x), -1, -1), prompt_text])
        theta, ref = [], []
        for side in (winner, loser):
            theta.append(ddim(model, predict(model, model.unet, x, at, text), at, x, side)[1])
            with torch.no_grad():
                ref.append(ddim(model, predict(model, model.ref, x, at, text), at, x, side)[1])
        pair_loss(theta, ref, beta=10.0).backward()
        model.learn()
