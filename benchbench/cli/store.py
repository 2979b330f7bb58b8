"""``bench store``. Imports the reader of scores, which loads pandas, only inside a function."""

from __future__ import annotations

import typer

from benchbench.cli.options import Store
from benchbench.cli.ui import log, table
from benchbench.errors import CorruptError, MissingError
from benchbench.runtime.words import counted
from benchbench.store import root

app = typer.Typer(help="Check that what a store holds is what was written.", no_args_is_help=True)


@app.callback()
def _store() -> None:
    """A group, although it has one command: ``bench store verify``."""


@app.command()
def verify(store: Store = None) -> None:
    """Read and hash every picture, score, record and weight of a store. Lists what is damaged, with what to do."""
    folder = root(store)
    if not folder.is_dir():
        raise MissingError(f"there is no store {folder}", "it is not a folder", "name one: --store, or $BENCH_HOME")
    from benchbench.store.verify import verify as verify_store

    count, damages = verify_store(folder)
    if damages:
        table(["damaged", "why", "what to do"], [[damage.path, damage.cause, damage.remedy] for damage in damages])
        raise CorruptError(
            f"{len(damages)} of {counted(count, 'file')} {'is' if len(damages) == 1 else 'are'} damaged in {folder}",
            f"first {damages[0].path}: {damages[0].cause}",
            damages[0].remedy,
        )
    log(f"{counted(count, 'file')} in {folder}: all are as they were written")
