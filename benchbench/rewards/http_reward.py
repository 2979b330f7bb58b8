"""Rewards that a server computes. ``--reward http://host:8000`` becomes a class with the name that the server states.

The name ends in ``@http``, which no registered reward's does: scores of a server that calls itself pickscore are never
filed as the released PickScore's. Scores are kept under this name and the server's version; its address is in no key.
Imports torch only inside a function.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.errors import RunError, UsageError
from benchbench.prompt_set import metadata
from benchbench.rewards.http_address import SUFFIX, check_address, is_address
from benchbench.rewards.http_answers import Nonsense, ServerInfo, is_higher_better, read_info, read_scores
from benchbench.rewards.http_exchange import LARGEST, Exchange
from benchbench.rewards.needs import check_needs
from benchbench.runtime.words import counted
from benchbench.types import Reward

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

BYTES_OF_A_SCORE = 64
AGAIN = "then run the same command again (bench train: with --resume); what was scored is kept"
_classes: dict[str, type[ServedReward]] = {}
"""The rewards of the servers that this process has asked, by name."""


class ServedReward(Reward):
    """A reward whose scores a server computes; it has no gradient, and takes no memory here."""

    differentiable = False
    max_batch: ClassVar[int]
    address: ClassVar[str]

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self._ask = Exchange(self.address)

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns the server's scores, float32 [N] on the CPU, of at most ``max_batch`` images a request.

        Raises RunError for a server that does not answer, answers nonsense, or states another name or version than at
        first; UsageError for a prompt without the metadata that the server needs.
        """
        import torch

        check_needs("of these images", prompts, [type(self)])
        scores: list[float] = []
        for start in range(0, len(images), self.max_batch):
            rows = slice(start, start + self.max_batch)
            scores += self._scores(images[rows], prompts[rows])
        return torch.tensor(scores, dtype=torch.float32)

    def _scores(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        request = {
            "images": [_png(image) for image in images],
            "prompts": list(prompts),
            "metadata": metadata(prompts, self.needs),  # what is not in a key is not sent
        }
        try:
            body = json.dumps(request).encode()
            answer = self._ask("/v1/score", body, LARGEST + BYTES_OF_A_SCORE * len(images))
            version, name, scores = read_scores(answer, len(images), self.unit.startswith("fraction"))
        except Nonsense as error:
            raise RunError(
                f"the reward server {self.address} gave no scores that can be used",
                f"its answer to {counted(len(images), 'image')}, the first with the prompt {prompts[0]!r:.80}: {error}",
                f"repair the server, {AGAIN}",
            ) from error
        known = self.name.removesuffix(SUFFIX)
        if (version, name or known) != (self.version, known):
            raise self._changed(f"{known}, version {self.version}", f"{name or known}, version {version}")
        return scores

    def _changed(self, first: str, now: str) -> RunError:
        return RunError(
            f"the reward server {self.address} changed while it scored",
            f"it said {first}, at first and says {now} now; scores of the two are never mixed",
            "what was scored is kept under the former version; run the same command again, which scores all images "
            "with what the server is now (a training: put the former server back, or start it anew with another --out)",
        )


def find(name: str) -> type[ServedReward]:
    """Returns the class of a name such as ``ocr@http``. Raises UsageError where this process asked no such server."""
    if name not in _classes:
        raise UsageError(
            f"the reward {name} cannot be asked by its name",
            "a server computes its scores, and a name says not where that is",
            "give the server's address: --reward http://HOST:PORT",
        )
    return _classes[name]


def ask_names(text: str) -> tuple[str, list[str]]:
    """Returns a reward or a mix with each address replaced by the name that its server states, and notes on these.

    Raises UsageError for an address that cannot be asked and a server of another protocol, RunError for no answer.
    """
    words, notes = [], []
    for word in (part.strip() for part in text.split(",")):
        name, equals, weight = word.rpartition("=") if "=" in word and "@" not in word else (word, "", "")
        if is_address(name):
            reward = ask(name)
            notes.append(f"{reward.address} computes {reward.name}, version {reward.version}")
            name = reward.name
        words.append(f"{name}{equals}{weight}")
    return ",".join(words), notes


def ask(address: str) -> type[ServedReward]:
    """Returns the class of a server's reward, after asking the server for it. Raises what ``ask_names`` raises."""
    address = check_address(address)
    exchange = Exchange(address)
    try:
        answer = exchange("/v1/info")
        info, higher = read_info(answer), is_higher_better(answer)
    except Nonsense as error:
        raise UsageError(
            f"{address} is no reward server that benchbench can ask",
            f"its answer to GET /v1/info: {error}",
            "serve what docs/http-rewards.md describes; examples/reward_server does",
        ) from error
    finally:
        exchange.close()
    if not higher:
        raise UsageError(
            f"of {info.name}, which {address} computes, lower scores are better",
            "trainings raise a reward, and win rates count the higher score",
            "let the server negate its scores, say higher_is_better: true and state another version",
        )
    reward = _classes[f"{info.name}{SUFFIX}"] = _class(info, address)
    return reward


def _class(info: ServerInfo, server: str) -> type[ServedReward]:
    class Served(ServedReward):
        name = f"{info.name}{SUFFIX}"
        version = info.version
        unit = info.unit
        range = info.range
        needs = info.needs
        max_batch = info.max_batch
        reads_prompt = info.reads_prompt
        weights = f"on the server {server}" + (f"; {info.licence}" if info.licence else "")
        address = server

    Served.__doc__ = f"The scores of {info.name} that the server {server} computes."
    return Served


def _png(image: Image) -> str:
    """Returns an RGB image as base64 of a PNG file, which keeps every pixel; packed fast rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()
