"""``bench study``. Imports the analysis, which loads pandas, only inside a function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench import choice
from benchbench.cli.options import Device, Store
from benchbench.cli.study_new import new
from benchbench.cli.study_simulate import simulate
from benchbench.cli.ui import log, resumable, table
from benchbench.report.page_file import page_file
from benchbench.report.plain import result_text
from benchbench.store import root
from benchbench.study.export import write_csv, write_pairs, write_votes
from benchbench.study.folder import find_study, read_study
from benchbench.study.progress import progress_rows
from benchbench.study.serve import serve as serve_study
from benchbench.study.vote_store import read_votes, stored_votes

app = typer.Typer(help="Ask people which pictures they prefer: a blind study in the browser.", no_args_is_help=True)
app.command()(new)
app.command()(simulate)
Name = Annotated[str, typer.Argument(help="The study's name in the store, or its folder.", show_default=False)]


@app.command()
def serve(
    name: Name,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: a free one.")] = 8000,
    store: Store = None,
) -> None:
    """Serve a study to raters until Ctrl-C. Prints their links; every vote is stored at once."""
    folder = find_study(root(store), name)
    with resumable():
        serve_study(folder, host, port, log)


@app.command()
def status(name: Name, store: Store = None) -> None:
    """Show how far each rater is, and the checks and repeats so far."""
    folder = find_study(root(store), name)
    study = read_study(folder)
    rows = progress_rows(study, stored_votes(folder, study))
    log(f"{sum(row.votes for row in rows)} of {sum(row.wanted for row in rows)} votes. {study.exclusion.describe()}")
    table(
        ["rater", "votes", "of", "checks passed", "repeats kept", "minutes", "excluded"],
        [
            [
                row.slot + 1,
                row.votes,
                row.wanted,
                f"{row.passed} of {row.checks}",
                f"{row.kept} of {row.repeats}",
                f"{row.minutes:.1f}",
                "yes" if row.excluded_by(study) else "no",
            ]
            for row in rows
        ],
    )


@app.command()
def results(
    name: Name,
    rewards: Annotated[
        str, typer.Option(help="Rewards to compare with people, separated by commas; all, none, or those that fit.")
    ] = "fitting",
    store: Store = None,
    device: Device = None,
) -> None:
    """Analyse the votes: shares with intervals, tests, agreement of raters and of rewards, as a report."""
    folder = find_study(root(store), name)
    model = read_study(folder).model
    if rewards in ("fitting", "none"):
        names = choice.default_comparison_rewards(model, []) if rewards == "fitting" else choice.RewardNames([])
    else:
        names = choice.choose_rewards(rewards, model)
    for note in names.notes:
        log(note)
    reward_classes = list(choice.reward_classes(names.names).values())
    with resumable():
        from benchbench.protocols.study import results as study_results

        result, report = study_results(folder, reward_classes, device, log)
    log(result_text(result.page.answer, page_file(report, result.page.quick), result.tables))


@app.command()
def export(
    name: Name,
    votes: Annotated[
        Path | None, typer.Option(help="A new .jsonl file for D3PO: --set method.votes=FILE. One row only.")
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="A new folder of preference pairs, by majority: --pairs.")] = None,
    csv: Annotated[Path | None, typer.Option(help="A new CSV file of every vote, checks and repeats too.")] = None,
    question: Annotated[int, typer.Option(min=1, help="The question whose answers --votes and --pairs take.")] = 1,
    all_raters: Annotated[
        bool, typer.Option("--all-raters", help="Also of raters that the study's rule excludes; --csv has them always.")
    ] = False,
    store: Store = None,
) -> None:
    """Write the votes: for D3PO, as preference pairs, or as they are."""
    folder = find_study(root(store), name)
    study = read_study(folder)
    stored = read_votes(folder, study)
    if not (votes or pairs or csv):
        raise typer.BadParameter("name at least one of --votes, --pairs and --csv")
    if question > len(study.questions):
        raise typer.BadParameter(f"the study has {len(study.questions)}", param_hint="--question")
    rows = [] if all_raters else progress_rows(study, stored)
    excluded = {row.slot for row in rows if row.excluded_by(study)}
    if votes:
        log(f"{write_votes(study, stored, votes, question - 1, excluded)} votes are in {votes}")
    if pairs:
        log(f"{write_pairs(folder, study, stored, pairs, question - 1, excluded)} pairs are in {pairs}")
    if csv:
        log(f"{write_csv(study, stored, csv)} votes are in {csv}")
