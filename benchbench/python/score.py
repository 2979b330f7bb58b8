"""``score``. Imports evaluate and diffusion, which load pandas and torch, only inside a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench import choice
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError, all_at_once
from benchbench.evaluate import folder_images
from benchbench.python.calls import Prompts, call, prompt_set, store_folder
from benchbench.rewards.needs import check_needs
from benchbench.runtime.devices import check_name
from benchbench.runtime.files import Log
from benchbench.runtime.words import counted
from benchbench.types import PromptSet, Reward

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


def score(
    images: str | Path | Sequence[str | Path] | Sequence[Image],
    prompts: Prompts | None = None,
    *,
    rewards: str | Sequence[str],
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Scores pictures from anywhere, as ``bench score`` does.

    Args:
        images: A folder, a list of files, or a list of PIL images. The files of a folder are taken in the order of
            their names, 2.png before 10.png.
        prompts: One prompt a picture, in the same order: a list, a file or a set; or, for files, a CSV or JSONL file
            whose column ``image`` names the file of each prompt. Rewards that read no prompt need none.
        rewards: Names of rewards, as a list or ``"a,b"``; ``"all"`` for all on this machine.
        store: The folder where the scores of an interrupted call are kept. Default: ``$BENCH_HOME``, else
            ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        progress: Show the lines and the progress bar of ``bench score``.

    Returns:
        A frame with a row for each picture and reward, and the columns ``image`` (the name of the file, or the number
        of the picture in the list), ``prompt``, ``reward``, ``version``, ``unit`` and ``score``.

    Raises:
        UsageError: A name cannot be used, or the numbers of pictures and prompts differ.
        MissingError: A reward's weights are not here, or the folder holds no picture.
        CorruptError: A file cannot be read as a picture.
        RunError: A score is not finite.

    Example:
        >>> bb.score(images, ["a red circle"], rewards=["shapes-clip"])
        >>> bb.score("renders/", "prompts.txt", rewards="pickscore,hpsv2.1")
    """
    with call("score", progress) as log:
        return run_scoring(images, prompts, rewards, store=store_folder(store), device=device, log=log)


def run_scoring(
    images: str | Path | Sequence[str | Path] | Sequence[Image],
    prompts: Prompts | None,
    rewards: str | Sequence[str],
    *,
    store: Path,
    device: str | None,
    log: Log,
    target: str = "",
) -> pd.DataFrame:
    """Looks the words up, logs what will be scored (``target`` says where the scores go), and scores.

    Errors: one for all wrong names, then those of ``score_folder``.
    """
    check_name(device)
    folder = Path(images).expanduser() if isinstance(images, str | Path) else None
    (reward_classes, notes), (found, by_image), (files, left_out) = all_at_once(
        lambda: _look_up_rewards(rewards, prompts is not None),
        lambda: (None, None) if prompts is None else _look_up_prompts(prompts),
        lambda: folder_images.find_images(folder) if folder else (_listed(images), []),  # type: ignore[arg-type]
    )
    for note in (*notes, *left_out):
        log(note)
    texts = folder_images.match_prompts(files, found, by_image) if found else [""] * len(files)
    check_needs(found.name if found else "", texts, reward_classes.values())

    from benchbench.diffusion.backbones import pick_device
    from benchbench.evaluate import score_folder

    device_name = str(pick_device(device))
    count, names = counted(len(files), "image"), ", ".join(reward_classes)
    origin = f" of {images}" if folder else ""
    log(f"scoring {count}{origin} with {names} on {device_name}{target}")
    return score_folder.score_folder(
        files, texts, list(reward_classes.values()), store=store, device=device_name, log=log
    )


def _look_up_rewards(rewards: str | Sequence[str], has_prompts: bool) -> tuple[dict[str, type[Reward]], Sequence[str]]:
    """Returns reward classes by name, and notes. Raises UsageError, also for rewards whose prompts are not given."""
    named = choice.choose_rewards(rewards, "")
    classes = choice.reward_classes(named.names)
    reading = [name for name, reward_class in classes.items() if reward_class.reads_prompt or reward_class.needs]
    if reading and not has_prompts:
        raise UsageError(
            f"the scores of {', '.join(reading)} depend on prompts",
            "--prompts is not given",
            "--prompts FILE, with one prompt an image",
        )
    return classes, named.notes


def _look_up_prompts(prompts: Prompts) -> tuple[PromptSet, Mapping[str, str] | None]:
    """Returns the prompts, and those of each image where they name images. Errors: those of ``prompts.load``."""
    named = prompt_sets.by_image(str(prompts)) if isinstance(prompts, str | Path) else None
    return prompt_set(prompts), named


def _listed(images: Sequence[str | Path] | Sequence[Image]) -> list[Path] | list[Image]:
    """Returns paths or images as a list of one kind. Raises UsageError for none, and for a mixture."""
    files = [Path(image).expanduser() for image in images if isinstance(image, str | Path)]
    if not images or len(files) not in (0, len(images)):
        raise UsageError(
            "these images cannot be scored",
            "the list is empty" if not images else "some are files, and some are not",
            "give a list of files, or a list of PIL images",
        )
    return files or list(images)  # type: ignore[return-value]
