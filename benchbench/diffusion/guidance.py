"""The step-wise reward r(c, x̂0(x_k)) and its gradient (TailorPO, arXiv:2502.01667, eq. 13-14)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from benchbench.diffusion.decode import Decoder, quantise, to_pil
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Step
from benchbench.errors import RunError
from benchbench.runtime.memory import Splitter, recompute_activations
from benchbench.runtime.precision import Precision, arithmetic
from benchbench.types import Cond, Reward, StepScorer

CONSTANT = 2 / 255  # an image whose values span less than this shows nothing


class StepReward:
    """r(c, D(x0)): decodes clean latents and scores the images, 8-bit rounded as a saved image would be.

    Scores are looked at later, by ``check``, so that nothing waits for the device inside the denoising loop.

    ``precision`` is that of the reward's float32 products on a GPU. It holds for the scores of this object alone, that
    is, for what judges and guides inside training; ``reward.score`` stays exact. The decoder is not part of it.
    """

    def __init__(self, decoder: Decoder, reward: Reward, policy: Policy, precision: Precision = "fp32") -> None:
        self.decoder, self.reward, self.policy, self.precision = decoder, reward, policy, precision
        self.scoring = Splitter(f"in the reward {reward.name}", row="image")
        self.guiding = Splitter(
            "following the reward's gradient",
            row="image",
            graph=True,
            further=lambda: recompute_activations(policy.backbone.network, decoder.vae),
        )
        self._unchecked: list[tuple[str, int, Tensor]] = []  # where, the number of its first row, rewards
        self._constant: Tensor | int = 0

    @property
    def differentiable(self) -> bool:
        return self.reward.differentiable

    def __call__(self, x0: Tensor, prompts: Sequence[str], where: str, tau: Tensor | None = None) -> Tensor:
        """Rewards float32 [N] of clean latents [N, C, h, w]; ``where`` names the step in an error.

        A step-aware reward is told the timestep ``tau`` of the sample that x0 was predicted from.
        """
        if self.policy.processes.sharding and not torch.is_grad_enabled():

            def share(rows: slice) -> Tensor:
                own = tau[rows] if tau is not None and tau.dim() else tau
                return self(x0[rows], prompts[rows], where, own)

            return self.policy.processes.sharded_rows(len(x0), (), share)
        images = quantise(self.decoder(x0))

        def part(rows: slice) -> Tensor:
            own = tau[rows] if tau is not None and tau.dim() else tau
            return self._score(images[rows], prompts[rows], own)

        r = self.scoring(part, len(images))
        self.policy.cost.reward_calls += len(x0)
        flat = images.detach().flatten(1)
        self._constant = self._constant + (flat.amax(1) - flat.amin(1) < CONSTANT).sum()
        self._unchecked.append((where, self.policy.processes.first_row, r.detach()))
        return r

    def _score(self, images: Tensor, prompts: Sequence[str], tau: Tensor | None) -> Tensor:
        with arithmetic(self.precision, images.device):
            if isinstance(self.reward, StepScorer) and tau is not None:
                return self.reward.score_at(images, prompts, tau)
            if self.reward.differentiable:
                return self.reward.score_differentiable(images, prompts)
            return self.reward.score(to_pil(images), prompts).to(images.device)

    def expect(self, prompts: Sequence[str]) -> None:
        """Tells the reward which prompts are to come, so that on a GPU it may read them together."""
        self.reward.expect(prompts)

    @contextmanager
    def attempt(self, first: int) -> Iterator[None]:
        """One attempt at the rows from ``first`` on, which is the number that an error about the first of them names.

        What a failed attempt has counted and noted is taken back, since the same is computed again.
        """
        processes, noted, constant = self.policy.processes, len(self._unchecked), self._constant
        processes.first_row += first
        try:
            with self.policy.attempt():
                yield
        except Exception:
            del self._unchecked[noted:]
            self._constant = constant
            raise
        finally:
            processes.first_row -= first

    def check(self, names: Sequence[str]) -> int:
        """Waits for the device; how many images of this process were constant since the last check.

        Errors: RunError naming the step and the sample of a reward that is not finite. ``names`` describe the N rows of
        the batch; calls with a multiple of N rows (candidates) repeat them.
        """
        for where, first, r in self._unchecked:
            bad = (~torch.isfinite(r)).nonzero()
            if len(bad):
                row = int(bad[0])
                name = names[(first + row) % len(names)]
                raise RunError(
                    f"the reward {self.reward.name} gave {float(r[row])} at {where} for {name}",
                    "a reward that is not finite would poison the weights, so the step was not taken",
                    "look at that prompt's image; the last checkpoint stays, and --resume goes on from it",
                )
        constant, self._unchecked, self._constant = int(self._constant), [], 0
        return constant


def look_ahead(
    policy: Policy, reward: StepReward, x: Tensor, k: int, cond: Cond, prompts: Sequence[str]
) -> tuple[Tensor, Step | None]:
    """r(c, x̂0(x_k)) [N], and the Step at x_k that it took, which is the next step of whichever sample is kept.

    x̂0 is made from the network's prediction at (x_k, tau_k), not from that at x_{k+1}, which all candidates share.
    At k = 0 the latents are clean and no network is asked.
    """
    if k == 0:
        return reward(x, prompts, "step 0"), None
    step = policy.step(x, k, cond)
    return reward(step.x0, prompts, f"step {k}", policy.schedule.tau[k]), step


def guide(
    policy: Policy, reward: StepReward, x: Tensor, k: int, cond: Cond, prompts: Sequence[str], eta: float, delta: float
) -> Tensor:
    """x+ = x - eta * grad_x (r_high - r(c, x̂0(x)))², with r_high = r + delta held fixed; [N, C, h, w].

    So x+ - x = 2 delta eta grad r. The sum over the batch is differentiated, so each row moves by its own gradient, and
    rows that are too many for the memory are moved in parts. The way back is in the reward's precision, as its scores
    are; so are those parts of the decoder's and the network's way back that are in float32. Errors: NoMemoryError where
    one row is too many.
    """
    if policy.processes.sharding:

        def share(rows: slice) -> Tensor:
            return guide(policy, reward, x[rows], k, cond[rows], prompts[rows], eta, delta)

        return policy.processes.sharded_rows(len(x), x.shape[1:], share)

    def part(rows: slice) -> Tensor:
        with reward.attempt(rows.start), torch.enable_grad():
            own = x[rows].detach().requires_grad_()
            r, _ = look_ahead(policy, reward, own, k, cond[rows], prompts[rows])
            r_high = r.detach() + delta
            with arithmetic(reward.precision, x.device):
                (gradient,) = torch.autograd.grad((r_high - r).square().sum(), own)
            return (own - eta * gradient).detach()

    return reward.guiding(part, len(x))
