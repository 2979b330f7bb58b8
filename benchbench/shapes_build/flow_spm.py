"""Stage: trains the step-aware preference scorer of shapes-flow, by the recipe of the first model's.

Only the predictions differ: x̂0 = x - sigma v of this model, at the timestep 1000 sigma.
"""

from benchbench.diffusion import backbones
from benchbench.samplers import FlowSampler
from benchbench.shapes_build import spm
from benchbench.shapes_build.stage import Facts, Stage

TAUS = (54, 264, 527, 737, 947)
"""The timesteps of the comparison: those of the steps k = 2, 6, 11, 15 and 19 of a sampler with 20 steps, rounded."""


def run(stage: Stage) -> Facts:
    """Trains on the predictions of the shipped half-precision model; returns the facts."""
    backbone = backbones.load(str(stage.of("flow") / "flow" / "model"), "cpu")
    learning_rate, guidance_scale = spm.NETWORKS["spm"][1], FlowSampler().guidance_scale
    return spm.make_in_build(
        stage, stage.folder / "flow" / "spm", backbone, learning_rate, taus=TAUS, guidance_scale=guidance_scale
    )
