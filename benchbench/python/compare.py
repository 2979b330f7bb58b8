"""``compare``. Imports benchbench.evaluate, which loads pandas, only inside a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench import choice
from benchbench.evaluate.sides import SideReference, find_sides
from benchbench.python.at_checkpoints import at_checkpoints
from benchbench.python.calls import Prompts, References, call, prompts_of, references, several, store_folder
from benchbench.python.result import Comparison
from benchbench.runtime.files import Log
from benchbench.runtime.words import counted
from benchbench.types import PromptSet

if TYPE_CHECKING:
    from benchbench.evaluate.compare import Comparison as Compared


def compare(
    run_a: References,
    run_b: References,
    *,
    rewards: str | Sequence[str] | None = None,
    prompts: Prompts | None = None,
    model: str | Path | None = None,
    images_per_prompt: int = 5,
    eval_seeds: int | Sequence[int] = 0,
    batch_size: int | None = None,
    dtype: str = "auto",
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Comparison:
    """Compares two models under the same prompts and noise, as ``bench compare`` does, and tests the difference.

    Several trainings of a side, given as a list, are paired with those of the same seeds on the other side.

    Args:
        run_a: A training (a Run, a run's id, a folder or file of weights), a list of trainings that differ in their
            seeds, or ``"base"``.
        run_b: The model to compare it with, in the same forms.
        rewards: Names of rewards. Default: those trained on, and those here that fit the model.
        prompts: A prompt set, a file, or a list of texts. Default: those of the trainings.
        model: The base model. Default: that of the trainings.
        images_per_prompt: Images for each prompt and seed.
        eval_seeds: The seeds of the images.
        batch_size: Images at a time; changes memory and not results.
        dtype: Precision of the network, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        progress: Show the lines and progress bars of ``bench compare``.

    Returns:
        The Comparison: ``differences`` has a row for each reward, and ``page`` shows the prompts that differ most.

    Raises:
        UsageError: Both are the same model, or have different numbers of trainings.
        MissingError: There is no such run.
        RunError: A run is not finished.

    Example:
        >>> found = bb.compare([a0, a1, a2], [b0, b1, b2], prompts="shapes-complex", rewards=["shapes-oracle"])
        >>> found.differences[["reward", "value", "low", "high", "p_holm"]]
    """
    with call("compare", progress) as log:
        result = run_comparison(
            references(run_a),
            references(run_b),
            None if model is None else str(model),
            None if prompts is None else prompts_of(prompts),
            rewards,
            store=store_folder(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=several(eval_seeds, int),
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            log=log,
        )
        return Comparison(result.folder, [result.table])


def run_comparison(
    run_a: SideReference,
    run_b: SideReference,
    model: str | None,
    prompts: str | PromptSet | None,
    rewards: str | Sequence[str] | None,
    *,
    store: Path,
    images_per_prompt: int,
    device: str | None,
    log: Log,
    **options: Any,
) -> Compared:
    """Looks the words up, logs what will be made, compares, and returns the result.

    ``options`` are more arguments of ``evaluate.measure.prepare``. Errors: those of ``find_sides``, one for all wrong
    names, then those of ``evaluate.compare.compare``.
    """
    side_a, side_b = find_sides(_trainings(run_a, store, log), _trainings(run_b, store, log), store)
    settings = {**side_b.settings, **side_a.settings}
    trained_on = [side.settings["reward"] for side in (side_a, side_b) if "reward" in side.settings]
    if model or "model" not in settings:
        chosen_model, reason = choice.choose_model(model, device)
    else:
        chosen_model, reason = settings["model"], "as trained"
    model_name = str(chosen_model)
    prompts = prompts or settings.get("prompts") or choice.choose_prompts(None, model_name)

    def name_rewards() -> choice.RewardNames:
        if rewards:
            return choice.choose_rewards(rewards, model_name)
        return choice.default_comparison_rewards(model_name, trained_on)

    resolved = choice.resolve(chosen_model, prompts, name_rewards, lambda _: None)
    log(
        f"comparing {side_a.label} with {side_b.label} on the model "
        f"{choice.with_reason(model_name, reason)}: "
        f"{counted(images_per_prompt, 'image')} a prompt of {prompts if isinstance(prompts, str) else prompts.name}, "
        f"rewards {', '.join(resolved.rewards)}; into {store}"
    )
    for note in resolved.notes:
        log(note)

    from benchbench.evaluate.compare import compare

    options |= {"images_per_prompt": images_per_prompt, "device": device, "log": log}
    reward_classes = list(resolved.rewards.values())
    return compare(side_a, side_b, resolved.model, resolved.prompts, reward_classes, store=store, **options)


def _trainings(side: SideReference, store: Path, log: Log) -> list[str | Path]:
    """Returns the trainings of a side, which a text separates by commas."""
    named = side.split(",") if isinstance(side, str) else [side] if isinstance(side, Path) else side
    return at_checkpoints(named, store, log)
