"""Measures the error of a loss's logit from rounding after a few updates: ``python -m tests.train.precision_table``.

Trains an adapter on the shapes model in a precision, always on the same batch, and compares the logit (of an offline
method) or the log-ratio (of DDPO) with float32's for the same adapter. TF32 is imitated by rounding the factors of
every product to ten bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchbench.api import ImagePairs, Transitions, mse, noised, predict_pairs
from benchbench.diffusion.policy import Policy
from benchbench.train.loss_scale import LossScale
from tests.train import precision
from tests.train.precision import NOISE

PRODUCTS = {F.linear, F.conv2d, torch.matmul, torch.bmm, F.scaled_dot_product_attention}
UPDATES = 8
CASES = [
    ("diffusion-dpo", "method.beta=5000"),
    ("dspo", "method.form=sdxl method.beta=5000"),
    ("diffusion-kto", "method.beta=1000"),
    ("diffusion-kto", "method.beta=5000"),
    ("ddpo", "train.lr=1e-4"),
]


LIKE_OTHERS = (CASES[1], CASES[2])
"""Cases whose loss is another one's, with another weight or a smaller beta."""


class _TenBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        bits = x.contiguous().view(torch.int32)
        return ((bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class ImitatedTF32(TorchFunctionMode):
    """Rounds the factors of every product, two or for attention three, to TF32's mantissa."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            count = 3 if func is F.scaled_dot_product_attention else 2
            rounded = [_TenBits.apply(x) if x.dtype is torch.float32 else x for x in args[:count]]
            args = (*rounded, *args[count:])
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Rounding:
    """The root mean square error after some updates, and the standard deviation of the exact values."""

    updates: int
    error: float
    deviation: float


def value(policy: Policy, rows: Any, cfg: Any, scale: float) -> Tensor:
    """Returns log-probs of transitions, or logits of pairs or single images, float32 [N]."""
    with torch.no_grad():
        if isinstance(rows, Transitions):
            return policy.log_probs(rows.x, rows.x_next, rows.k, rows.cond)
        if isinstance(rows, ImagePairs):
            predictions = predict_pairs(policy, rows, NOISE, shared=True)
            (m_w, m_l), (q_w, q_l) = predictions.m, predictions.q
            return -scale * ((m_w - m_l) - (q_w - q_l))
        x, tau, eps = noised(policy, rows.x, rows.draw, NOISE)
        q = mse(policy.reference_predict(x, tau, rows.cond), eps)
        return scale * rows.label * (q - mse(policy.predict(x, tau, rows.cond), eps))


def after_updates(method: str, settings: str, dtype: str, count: int = 32) -> Iterator[Rounding]:
    """Yields a Rounding after each of ``UPDATES`` optimizer steps in ``dtype``: bf16, fp16 or tf32."""
    run = precision.config(method, *settings.split())
    cfg, exact = run.method_config, precision.policy("fp32")
    policy = precision.policy("fp32" if dtype == "tf32" else dtype)
    arithmetic: Callable[[], AbstractContextManager[Any]] = ImitatedTF32 if dtype == "tf32" else nullcontext
    algorithm, batch = precision.batch(run, exact, count)
    scale = float(getattr(algorithm, "logit_scale", lambda _: 1.0)(cfg) or 1.0)
    with arithmetic():
        rows = precision.as_seen_by(policy, batch)
        start = value(policy, rows, cfg, scale)
    plain = precision.as_seen_by(exact, batch)
    start_exact = value(exact, plain, cfg, scale)
    optimizer, loss_scale = torch.optim.AdamW(policy.parameters(), lr=run.train.lr), LossScale(dtype == "fp16", 1024.0)
    for update in range(1, UPDATES + 1):
        with forwards(algorithm, arithmetic):
            precision.gradient(policy, algorithm, rows, cfg, 1.0, loss_scale)
        torch.nn.utils.clip_grad_norm_(policy.parameters(), run.train.grad_clip)
        optimizer.step()
        with torch.no_grad():
            for trained, copied in zip(policy.parameters(), exact.parameters(), strict=True):
                copied.copy_(trained)
        with arithmetic():
            moved = value(policy, rows, cfg, scale) - start
        moved_exact = value(exact, plain, cfg, scale) - start_exact
        yield Rounding(update, float((moved - moved_exact).square().mean().sqrt()), float(moved_exact.std()))


@contextmanager
def forwards(algorithm: Any, arithmetic: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Computes the method's loss, but not its backward pass, in the arithmetic within the block."""
    plain = algorithm.loss

    def loss(*arguments: Any) -> Any:
        with arithmetic():
            return plain(*arguments)

    algorithm.loss = loss
    try:
        yield
    finally:
        del algorithm.loss


def main() -> None:
    """Prints a Markdown table."""
    print("| method | precision | error after 1 update | after 8 | standard deviation after 8 | error / deviation |")
    print("|---|---|---:|---:|---:|---:|")
    for method, settings in CASES:
        for dtype in ("bf16", "fp16", "tf32"):
            roundings = list(after_updates(method, settings, dtype))
            last = roundings[-1]
            numbers = (roundings[0].error, last.error, last.deviation, last.error / last.deviation)
            print(f"| {method} {settings} | {dtype} |", " | ".join(f"{n:.2g}" for n in numbers), "|", flush=True)


if __name__ == "__main__":
    main()
