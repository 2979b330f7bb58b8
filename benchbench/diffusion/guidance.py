"""The step-wise reward r(c, x̂0(x_k)) and guidance by its gradient (TailorPO, arXiv:2502.01667, eq. 13-14)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from benchbench import reward_calls
from benchbench.diffusion.decode import Decoder, quantise, to_pil
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.schedule import Step
from benchbench.errors import RunError
from benchbench.runtime.memory import Splitter, recompute_activations
from benchbench.runtime.precision import Precision, arithmetic
from benchbench.types import Cond, Reward, StepScorer

CONSTANT = 2 / 255  # an image whose values span less than this counts as constant


class StepReward:
    """r(c, D(x0)): decodes clean latents and scores the images, rounded to 8 bits as in a saved file.

    Scores are checked later, by ``check``, so that the denoising loop never waits for the device.

    ``precision`` is the precision of float32 products of the reward on a GPU, for scores and guidance in training;
    ``reward.score`` stays exact, and so does the decoder.
    """

    def __init__(self, decoder: Decoder, reward: Reward, policy: Policy, precision: Precision = "fp32") -> None:
        self.decoder, self.reward, self.policy, self.precision = decoder, reward, policy, precision
        reward.assume_unit_range()  # of the decoder: looking at the first images would wait for the device
        self.scoring = Splitter(f"in the reward {reward.name}", row="image")
        self.guiding = Splitter(
            "following the reward's gradient",
            row="image",
            graph=True,
            last_resort=lambda: recompute_activations(policy.backbone.network, decoder.vae),
        )
        self._unchecked: list[tuple[str, int, Tensor]] = []  # name of the step, index of the first row, rewards
        self._constant: Tensor | int = 0

    @property
    def differentiable(self) -> bool:
        """Returns True if the reward has a gradient."""
        return self.reward.differentiable

    def __call__(self, x0: Tensor, prompts: Sequence[str], step_name: str, tau: Tensor | None = None) -> Tensor:
        """Returns rewards float32 [N] of clean latents [N, C, h, w]; ``step_name`` is for errors.

        A step-aware reward also gets the timestep ``tau`` of the sample from which x0 was predicted.
        """
        if self.policy.processes.sharding and not torch.is_grad_enabled():

            def share(rows: slice) -> Tensor:
                return self(x0[rows], prompts[rows], step_name, _rows_of(tau, rows))

            return self.policy.processes.sharded_rows(len(x0), (), share)
        images = quantise(self.decoder(x0))

        r = self.scoring(lambda rows: self._score(images[rows], prompts[rows], _rows_of(tau, rows)), len(images))
        self._note(images, r, step_name)
        return r

    def separate(self, x0: Tensor, prompts: Sequence[str], step_name: str) -> tuple[Tensor, Tensor]:
        """Returns rewards [N] as a call does, and the scores [N, M] of the M members of a mix, larger being better.

        A reward that is no mix is its own only member.
        """
        if self.policy.processes.sharding:

            def share(rows: slice) -> Tensor:
                r, scores = self.separate(x0[rows], prompts[rows], step_name)
                return torch.cat([r[:, None], scores], 1)

            columns = 1 + len(getattr(self.reward, "members", [self.reward]))
            joined = self.policy.processes.sharded_rows(len(x0), (columns,), share)
            return joined[:, 0], joined[:, 1:]
        images = quantise(self.decoder(x0))
        joined = self.scoring(lambda rows: self._separate(images[rows], prompts[rows]), len(images))
        self._note(images, joined[:, 0], step_name)
        return joined[:, 0], joined[:, 1:]

    def _separate(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns rewards and the scores of the members, [N, 1 + M]."""
        separate = getattr(self.reward, "separate", None)
        if separate is None:
            return self._score(images, prompts, None)[:, None].repeat(1, 2)
        with arithmetic(self.precision, images.device):
            scored: Tensor = separate(images if self.reward.differentiable else to_pil(images), prompts)
        return scored.to(images.device)

    def _note(self, images: Tensor, r: Tensor, step_name: str) -> None:
        """Counts reward calls and constant images, and keeps the rewards for ``check``."""
        self.policy.cost.reward_calls += len(images)
        flat = images.detach().flatten(1)
        self._constant = self._constant + (flat.amax(1) - flat.amin(1) < CONSTANT).sum()
        self._unchecked.append((step_name, self.policy.processes.first_row, r.detach()))

    def _score(self, images: Tensor, prompts: Sequence[str], tau: Tensor | None) -> Tensor:
        with arithmetic(self.precision, images.device):
            if isinstance(self.reward, StepScorer) and tau is not None:
                return reward_calls.score_at(self.reward, images, prompts, tau)
            if self.reward.differentiable:
                return reward_calls.score_differentiable(self.reward, images, prompts)
            return reward_calls.score(self.reward, to_pil(images), prompts).to(images.device)

    def expect(self, prompts: Sequence[str]) -> None:
        """Announces the next prompts to the reward, which may encode them together on a GPU."""
        reward_calls.expect(self.reward, prompts)

    @contextmanager
    def attempt(self, first_row: int) -> Iterator[None]:
        """Runs the block as one attempt at the rows from ``first_row`` on, which is added to the row in an error.

        After an error it restores the counters and the scores to check, since the same rows are computed again.
        """
        processes, unchecked, constant = self.policy.processes, len(self._unchecked), self._constant
        processes.first_row += first_row
        try:
            with self.policy.attempt():
                yield
        except Exception:
            del self._unchecked[unchecked:]
            self._constant = constant
            raise
        finally:
            processes.first_row -= first_row

    def check(self, names: Sequence[str]) -> int:
        """Waits for the device and returns the number of constant images of this process since the last check.

        ``names`` describe the N rows of the batch; calls with a multiple of N rows (candidates) repeat them. Raises
        RunError with the step and the name of a row whose reward is not finite.
        """
        for step_name, first_row, r in self._unchecked:
            bad = (~torch.isfinite(r)).nonzero()
            if len(bad):
                row = int(bad[0])
                name = names[(first_row + row) % len(names)]
                raise RunError(
                    f"the reward {self.reward.name} gave {float(r[row])} at {step_name} for {name}",
                    "a reward that is not finite would spoil the weights, so the step was not taken",
                    f"look at that prompt's image, then run: bench check {self.reward.name}; "
                    "the last checkpoint stays, and --resume goes on from it",
                )
        constant, self._unchecked, self._constant = int(self._constant), [], 0
        return constant


def _rows_of(tau: Tensor | None, rows: slice) -> Tensor | None:
    """Returns the timesteps of some rows; None and a timestep for all rows stay as they are."""
    return tau[rows] if tau is not None and tau.dim() else tau


def look_ahead(
    policy: Policy, reward: StepReward, x: Tensor, k: int, cond: Cond, prompts: Sequence[str]
) -> tuple[Tensor, Step | None]:
    """Returns r(c, x̂0(x_k)) [N] and the Step at x_k, which a rollout can reuse for the selected sample.

    x̂0 comes from the network's prediction at (x_k, tau_k), not at x_{k+1}, which all candidates share. At k = 0 the
    latents are clean: the network is not evaluated, and the Step is None.
    """
    if k == 0:
        return reward(x, prompts, "step 0"), None
    step = policy.step(x, k, cond)
    return reward(step.x0, prompts, f"step {k}", policy.schedule.tau[k]), step


def reward_gradient(reward: StepReward, x0: Tensor, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Returns r(c, D(x0)), float32 [N], of finished latents [N, C, h, w], and its gradient there, [N, C, h, w].

    Each row has its own gradient, so that a batch too large for the memory is differentiated in parts, in the reward's
    precision. Raises NoMemoryError if one row is too large.
    """

    def share(rows: slice) -> Tensor:
        own, own_prompts = x0[rows], prompts[rows]

        def part(rows: slice) -> Tensor:
            with reward.attempt(rows.start), torch.enable_grad():
                x = own[rows].detach().requires_grad_()
                r = reward(x, own_prompts[rows], "step 0")
                with arithmetic(reward.precision, x.device):
                    (gradient,) = torch.autograd.grad(r.sum(), x)
                return torch.cat([r.detach()[:, None], gradient.flatten(1)], 1)

        return reward.guiding(part, len(own))

    joined = reward.policy.processes.sharded_rows(len(x0), (1 + x0[0].numel(),), share)
    return joined[:, 0], joined[:, 1:].reshape(x0.shape)


def guide(
    policy: Policy, reward: StepReward, x: Tensor, k: int, cond: Cond, prompts: Sequence[str], eta: float, delta: float
) -> Tensor:
    """Returns x+ = x - eta * grad_x (r_high - r(c, x̂0(x)))², with r_high = r + delta held fixed; [N, C, h, w].

    Hence x+ - x = 2 delta eta grad r. The sum over the batch is differentiated, so each row moves by its own gradient,
    and a batch too large for the memory is moved in parts. The backward pass runs in the reward's precision, as the
    scores do; this includes the float32 parts of the decoder and the network. Raises NoMemoryError if one row is too
    large.
    """
    if policy.processes.sharding:

        def share(rows: slice) -> Tensor:
            return guide(policy, reward, x[rows], k, cond[rows], prompts[rows], eta, delta)

        return policy.processes.sharded_rows(len(x), x.shape[1:], share)

    def part(rows: slice) -> Tensor:
        with reward.attempt(rows.start), torch.enable_grad():
            x_rows = x[rows].detach().requires_grad_()
            r, _ = look_ahead(policy, reward, x_rows, k, cond[rows], prompts[rows])
            r_high = r.detach() + delta
            with arithmetic(reward.precision, x.device):
                (gradient,) = torch.autograd.grad((r_high - r).square().sum(), x_rows)
            return (x_rows - eta * gradient).detach()

    return reward.guiding(part, len(x))
