"""Sentences about a run's settings that a reader of its result should know: nothing is wrong, and little is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench import presets, registry
from benchbench.config import RunConfig

EXAMPLES = 3  # learning rates of other methods that are named


def remarks(run: RunConfig, preset: str, settings: Sequence[str]) -> list[str]:
    """Returns remarks on a run of this preset, or file of one, with these words of ``--set``."""
    return [*_on_the_rate(run, preset, settings), *_on_settings_without_effect(run, settings)]


def _on_the_rate(run: RunConfig, preset: str, settings: Sequence[str]) -> Iterator[str]:
    """Yields that the learning rate is the default one, where that is so, and the rates of other methods' presets."""
    if any(word.partition("=")[0].strip() == presets.RATE for word in settings):
        return
    if presets.RATE in presets.preset_values(run.method, preset):
        return
    line = f"note: {run.method} trains at the default learning rate {run.train.lr:g}, which nobody has searched for it"
    if others := list(_other_rates(run, preset)):
        line += f", while the presets of others name theirs ({', '.join(others[:EXAMPLES])})"
    yield f"{line}; to search it: bench tune {run.method} --model {run.model} --reward {run.reward}"


def _other_rates(run: RunConfig, preset: str) -> Iterator[str]:
    """Yields the method and its learning rate for the other methods that have one in the preset of this name."""
    for method in registry.names("methods"):
        entries = (presets.all_presets(method) or {}).get(preset) or {}
        if method != run.method and presets.RATE in entries:
            yield f"{method} {entries[presets.RATE]['value']:g}"


def _on_settings_without_effect(run: RunConfig, settings: Sequence[str]) -> Iterator[str]:
    """Yields the settings that were given with the command and change nothing beside the others."""
    given = {word.partition("=")[0].strip() for word in settings}
    for name, reason in run.method_class.without_effect(run.method_config).items():
        if f"method.{name}" in given:
            yield f"note: method.{name} has no effect here: {reason}"
