"""Every method on SD 1.5, and TailorPO on SDXL, trains on fake CUDA tensors, and no denoising loop copies or reads.

Only the runs in ``WHOLE`` have a UNet of the real depth, which takes twice the time and has no other operations.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import random_models
from tests.gpu import child, runs
from tests.gpu.context import StepContext
from tests.gpu.outcome import read
from tests.gpu.steps import pretended

BRANCHES = ("tailorpo-g", "diffusion-nft", "diffusion-dpo")
"""One method with a reward's gradient, one with a second adapter and one that learns from pairs; the others are like
one of them."""
WHOLE = {("sd15", "tailorpo"), ("sd15", "diffusion-dpo"), ("sdxl", "tailorpo")}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretended")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method"),
    [
        *(
            ("sd15", method) if method in BRANCHES else pytest.param("sd15", method, marks=pytest.mark.long)
            for method in (*runs.ONLINE, *runs.OFFLINE)
        ),
        pytest.param("sdxl", "tailorpo", marks=pytest.mark.long),
    ],
)
def test_a_method_trains_on_a_pretended_gpu(
    model: str, method: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (model, method) not in WHOLE:
        monkeypatch.setattr(random_models, "SD15_UNET", {**random_models.SD15_UNET, "layers_per_block": 1})
        work = work / "shallow"
        work.mkdir(exist_ok=True)
    for name, value in child.environment(work).items():
        monkeypatch.setenv(name, value)
    context = StepContext("cuda", "fake", work, work / f"{model}-{method}.jsonl")
    with context.part(method) as result:
        pretended.run_method(context, model, method, result)
    part = read(context.findings)[0][method]
    assert "error" not in part and "failed" not in part, part
    assert part["copies_in_the_walk"] == part["reads_in_the_walk"] == 0
    assert part["tflop"] > 1 and part["weights_gib"] < part["peak_gib"] < 40
