"""The rows of a run over its training: the base model, the weights that it kept on its way, and its end."""

from __future__ import annotations

from benchbench.errors import MissingError
from benchbench.store import runs
from benchbench.store.runs import Adapter, AdapterReference


def rows_over_training(adapter: Adapter) -> dict[str, list[AdapterReference]]:
    """Returns rows by the number of samples that the run had seen; 0 is the base model.

    Raises MissingError for a run that kept no weights, and for weights that no run of ours made.
    """
    if adapter.run is None or not (folders := runs.kept_weights(adapter.run)):
        raise MissingError(
            f"{adapter.label} kept no adapter on its way",
            f"its folder holds no {runs.KEPT_FOLDER}/",
            "train with --set train.keep_every=96, then name that run",
        )
    rows: dict[str, list[AdapterReference]] = {"0": []}
    rows |= {str(samples): [folder] for samples, folder in folders.items()}
    rows[str(adapter.run.done.get("samples", max(folders)))] = [adapter]
    return rows
