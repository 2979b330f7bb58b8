"""A share of an evaluation's missing images as a process: ``python -m benchbench.evaluate.draw_job STORE FILE``.

The process that started it holds the locks of the generations, so that no image is made twice. Batches are those of an
evaluation in one process, and each is drawn whole, so that its images do not depend on who draws it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchbench.errors import CorruptError
from benchbench.evaluate.draw_missing import all_samples, draw_missing
from benchbench.evaluate.draw_spec import DrawSpec, Share
from benchbench.evaluate.lazy_model import LazyModel
from benchbench.hub.models import LocalModel
from benchbench.hub.weights import Weights
from benchbench.noise import Noise
from benchbench.runtime.job_process import run_job
from benchbench.runtime.progress import progress
from benchbench.runtime.sealed import read_sealed
from benchbench.store.images import ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.store.runs import Adapter

AGAIN = "run the evaluation again"


def draw(spec: DrawSpec, store: Path) -> None:
    """Draws and stores the images that are still missing. Raises CorruptError where weights have changed."""
    samples = all_samples(spec.all_prompts(), spec.images_per_prompt)
    by_place = {(sample.index, sample.number): sample for sample in samples}
    local, first = LocalModel(spec.model, spec.root, spec.vae), spec.shares[0].key
    model = LazyModel(local, first["sampler"], spec.device, first["dtype"], lambda _: None, **spec.loading)
    with progress(sum(len(share.missing) for share in spec.shares), "generating", "images") as bar:
        for share in spec.shares:
            key = GenerationKey(**{name: value for name, value in share.key.items() if name != "schema"})
            images, evaluated = ImageStore(store, key), model.with_adapter(share.label, _adapter(share))
            if (evaluated.model_hash, evaluated.adapter_hash) != (key.model_hash, key.adapter_hash):
                raise CorruptError(f"the weights of {share.label} have changed", "they have another hash now", AGAIN)
            wanted = [by_place[place] for place in share.missing]
            there = images.scan(wanted, print)
            bar.advance(len(there))
            missing = {sample for sample in wanted if sample not in there}
            if missing:
                noise = Noise(key.eval_seed, "eval")
                draw_missing(images, samples, missing, evaluated.open(), noise, spec.batch_size, bar, print)
                images.scan(missing, print)  # writes the index


def _adapter(share: Share) -> Adapter | None:
    if share.adapter is None:
        return None
    weights = Weights(share.adapter.kind, share.adapter.path)
    return Adapter(share.label, weights, weights.hash, None, None)


if __name__ == "__main__":
    sys.exit(run_job(lambda: draw(DrawSpec.model_validate(read_sealed(Path(sys.argv[2]), AGAIN)), Path(sys.argv[1]))))
