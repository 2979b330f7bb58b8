"""Protocols on a flow-matching model: the steps that they measure, the sampler of their images, and their captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import prompts
from benchbench.errors import UsageError
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.base import Request, find_target
from benchbench.samplers import FlowImages, FlowSampler

FLOW = "shapes-flow"
RUN = {"method": "ddpo", "pairs": None, "sampler": FlowSampler(steps=8).model_dump()}


@pytest.mark.parametrize(
    ("name", "on_ddim", "on_flow"),
    [
        ("jensen-gap", (12, 8, 4, 1), (6, 4, 2)),  # the last step draws no noise, and 2 is measured already
        ("guidance-ratio", (20, 16, 12, 8, 4), (10, 8, 6, 4, 2)),
        ("preference-order", (20, 16, 12, 8, 4), (10, 8, 6, 4, 2)),
        ("gradient-direction", (20, 16, 12, 8, 4), (10, 8, 6, 4, 2)),
    ],
)
def test_default_steps_are_in_the_same_places(name: str, on_ddim: tuple[int, ...], on_flow: tuple[int, ...]) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.fitted(protocol.Settings(), "shapes").steps == on_ddim
    assert protocol.fitted(protocol.Settings(), FLOW).steps == on_flow
    given = protocol.Settings(steps=(3,))
    assert protocol.fitted(given, FLOW) == given
    longer = protocol.Settings(sampler=FlowImages(steps=40, dynamics="flow-sde"))
    assert protocol.fitted(longer, FLOW).steps == tuple(max(2, 2 * k) for k in on_ddim)


def test_a_step_without_noise_is_refused_before_weights_are_loaded(tmp_path: Path) -> None:
    protocol = PROTOCOLS["jensen-gap"]
    for settings, named in (
        (protocol.Settings(steps=(6, 1)), r"^steps has \[1\], where this sampler draws no noise"),
        (protocol.Settings(steps=(20,)), r"^steps has \[20\], which no sampler of 10 steps visits"),
    ):
        with pytest.raises(UsageError, match=named):
            protocol.measure(FLOW, None, prompts.load("shapes-simple"), "shapes-colour", settings, store=tmp_path)


def test_images_are_those_of_the_evaluation_and_captions_name_both_samplers(tmp_path: Path) -> None:
    protocol = PROTOCOLS["win-rate"]
    settings = protocol.Settings()
    asked = (FLOW, None, prompts.load("shapes-simple"), "shapes-colour", settings, tmp_path, "cpu", "auto", print)
    target = find_target(Request(*asked))
    assert (target.sampler.steps, target.evaluation.steps) == (10, 40)
    evaluated = "valuated with 40 steps of ode, guidance scale 4.5, grid diffusers"
    trained = "Trained with 8 steps of flow-sde, noise level 0.7; e"
    assert protocol.sampled(settings, FLOW, [RUN]) == f"{trained}{evaluated}"
    assert protocol.sampled(settings, FLOW, []).startswith("Sampled with 40 steps of ode")
    assert protocol.sampled(settings, "shapes", []) == ""
    gap = PROTOCOLS["jensen-gap"]
    assert gap.sampled(gap.Settings(), FLOW, [RUN]).startswith("Sampled with 8 steps of flow-sde, noise level 0.7")
