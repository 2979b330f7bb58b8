"""Weights of a run at one of its checkpoints, finished or not: ``RUN@288`` and ``RUN@last``.

A checkpoint holds tensors by number. They are written once more, as the files that diffusers reads, into the run's
folder of kept weights, where an evaluation finds them under the run's name and the number of samples.
"""

from __future__ import annotations

from pathlib import Path

from benchbench.diffusion.fill import empty_network
from benchbench.diffusion.finetuned import save_network
from benchbench.diffusion.lora import add_lora, save_adapter
from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.hub import layout, models
from benchbench.hub.weights import Weights
from benchbench.runtime.files import Log, replacing_folder, sweep
from benchbench.runtime.memory import out_of_memory
from benchbench.runtime.sealed import write_sealed
from benchbench.store import runs
from benchbench.store.runs import KEPT_FILE, KEPT_FOLDER, Run
from benchbench.train import checkpoint

LAST = "last"


def weights_at(reference: str, store: Path, log: Log) -> str:
    """Returns the folder of the weights that ``RUN@SAMPLES`` or ``RUN@last`` names; any other reference as it is.

    Raises MissingError for an unknown run and for samples of which the run has no checkpoint, CorruptError for a
    damaged checkpoint, and RunError for a run that has none yet.
    """
    name, at, point = reference.rpartition("@")
    if not at or not (point == LAST or point.isdecimal()) or Path(reference).expanduser().exists():
        return reference
    run = runs.find(store, name)
    points = {int(folder.name): folder for folder in checkpoint.folders(run.path)}
    known = {**points, **runs.kept_weights(run)}
    if run.state == "complete":
        known[int(run.done["samples"])] = run.path
    if not known:
        raise RunError(
            f"the run {run.id} has no weights yet",
            "its first checkpoint was not written",
            "go on with its training: the same command, --resume",
        )
    samples = max(known) if point == LAST else int(point)
    if samples not in known:
        raise MissingError(
            f"the run {run.id} has no weights after {samples} samples",
            f"it has those after {', '.join(map(str, sorted(known)))}; a run keeps its last {checkpoint.KEEP} "
            "checkpoints",
            f"name one of these, as {name}@{max(known)}; with --set train.keep_every=96 a training keeps more",
        )
    folder = known[samples]
    if folder in points.values():
        folder = _keep(run, folder)
        log(f"{run.id}: its checkpoint after {samples} samples, written as weights into {folder}")
    return str(folder)


def _keep(run: Run, folder: Path) -> Path:
    """Writes the weights of a checkpoint's folder into the run's folder of kept weights; returns their folder."""
    try:
        state = checkpoint.read_state(folder)
    except Exception as error:  # an OSError, invalid JSON or safetensors: the checkpoint is damaged
        if out_of_memory(error):
            raise
        raise CorruptError(
            f"the checkpoint {folder} is damaged", str(error), "name another one, or resume the run"
        ) from error
    kept = run.path / KEPT_FOLDER
    sweep(kept)
    with replacing_folder(kept / f"{state.samples:08d}") as temporary:
        write_sealed(temporary / KEPT_FILE, {"sha256": _write(run, folder, temporary).hash})
    return kept / f"{state.samples:08d}"


def _write(run: Run, folder: Path, out: Path) -> Weights:
    """Writes the tensors of a checkpoint into ``out``, in a finished run's layout; of a run with an average, that."""
    train = run.config["config"]["train"]
    root = models.find(run.config["config"]["model"]).root
    network = empty_network(root / layout.denoiser(root))
    full = train["finetune"] == "full"
    if full:
        network.requires_grad_(True)
    else:
        network.requires_grad_(False)
        add_lora(network, train["lora_rank"], train["lora_alpha"], run.config["config"]["seed"])
    stem = "average" if train.get("ema") else "adapter"
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    values = {trained[int(number)]: value for number, value in checkpoint.read_tensors(folder, stem)}
    network.load_state_dict(values, strict=False, assign=True)
    return Weights("unet", save_network(network, out)) if full else Weights("lora", save_adapter(network, out))
