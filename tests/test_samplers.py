"""The samplers of a flow-matching training and of its evaluations: what is stored, and what captions say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import UsageError
from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.rows import common_sampler
from benchbench.hub.weights import Weights
from benchbench.samplers import FlowSampler, SamplerConfig, apart_in_words, default_sampler, described, sampler_of
from benchbench.store.keys import GenerationKey
from benchbench.store.runs import Adapter, Run

ASKED = {"name": "reward-table", "model": "m", "model_hash": "h", "dtype": "fp32", "prompts": "p", "prompts_hash": "h"}
ASKED |= {"prompt_count": 2, "images_per_prompt": 1, "eval_seeds": (0,), "rewards": {}}
ONLINE = {"method": "ddpo", "pairs": None, "sampler": FlowSampler().model_dump()}
OFFLINE = {"method": "sft", "pairs": "made:a:b:2", "sampler": FlowSampler(draw_time="logit-normal").model_dump()}
DDIM = {"method": "ddpo", "pairs": None, "sampler": SamplerConfig().model_dump()}


def key(sampler: dict[str, object]) -> str:
    return GenerationKey("model", None, sampler, "fp32", "prompts", "hash", 0).id


def adapter(settings: dict[str, object], name: str = "run") -> Adapter:
    run = Run(name, Path(name), "complete", {"config": settings}, {})
    return Adapter(name, Weights("lora", Path("weights")), "hash", "model", run)


def test_training_and_evaluation_make_other_images() -> None:
    """Ten steps with noise and forty without have different keys in the store; on DDIM there is one sampler."""
    trained, evaluated = FlowSampler().rollout, FlowSampler().evaluation
    assert (trained.steps, trained.dynamics) == (10, "flow-sde") and (evaluated.steps, evaluated.dynamics) == (
        40,
        "ode",
    )
    assert key(trained.model_dump()) != key(evaluated.model_dump())
    assert evaluated == default_sampler("shapes-flow") == sampler_of(FlowSampler().model_dump())
    assert FlowSampler(noise_level=0.3).evaluation == evaluated  # the ODE has none, so that both are compared
    assert FlowSampler(noise_level=0.3, eval_dynamics="cps").evaluation.noise_level == 0.3
    assert SamplerConfig().rollout == SamplerConfig().evaluation == default_sampler("shapes")


def test_a_command_changes_the_sampler_of_the_evaluation() -> None:
    found = common_sampler([adapter(ONLINE), adapter(OFFLINE, "other")], {"steps": 7, "guidance_scale": 2.0})
    assert (found.steps, found.guidance_scale, found.making["dynamics"]) == (7, 2.0, "ode")
    other = adapter({**ONLINE, "sampler": FlowSampler(eval_steps=20).model_dump()}, "other")
    with pytest.raises(UsageError, match="not evaluated with one sampler"):
        common_sampler([adapter(ONLINE), other])


def test_captions_name_both_samplers() -> None:
    trained, evaluated = "10 steps of flow-sde, noise level 0.7", "40 steps of ode, guidance scale 4.5, grid diffusers"
    assert described(FlowSampler().evaluation.model_dump()) == evaluated
    assert apart_in_words([ONLINE]) == f"trained with {trained}; evaluated with {evaluated}"
    assert apart_in_words([ONLINE, OFFLINE, ONLINE]) == (
        f"trained with {trained} or at logit-normal times; evaluated with {evaluated}"
    )
    few = FlowSampler(eval_steps=1).evaluation.model_dump()
    assert apart_in_words([OFFLINE], few).endswith("evaluated with 1 step of ode, guidance scale 4.5, grid diffusers")
    assert apart_in_words([DDIM, {}]) == ""
    plain = EvalConditions(**ASKED, sampler=FlowSampler().evaluation.model_dump())
    both = plain.model_copy(update={"trained": apart_in_words([ONLINE])})
    assert f"m (fp32), trained with {trained}; evaluated with {evaluated}; 2 prompts" in both.describe()
    assert f"m (fp32), sampler {evaluated}; 2 prompts" in plain.describe() and both.digest == plain.digest
