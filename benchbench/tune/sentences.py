"""Sentences on a search: what is equal, the rule of choice, what was chosen, and what a reader must not conclude."""

from __future__ import annotations

from collections.abc import Iterator

from benchbench import presets
from benchbench import prompts as prompt_sets
from benchbench.report.table import format_number as number
from benchbench.reproduce.budget import BASELINE
from benchbench.tune.outcome import Outcome, Point, guard_is_fraction
from benchbench.tune.plan import BASE
from benchbench.tune.search import FIRST_TUNING_SEED, IMAGES, Search


def budget_sentence(search: Search) -> str:
    """Returns how many images the method has, and what they cost beside those of the baseline."""
    budget = search.budget
    calls = budget.reward_calls_per_image * budget.samples
    made = f"the images of its pairs cost {budget.pairs_nfe:,.0f}" if budget.pairs_nfe else ""
    pairs = f"; {made or 'the making of its pairs is not counted'}" if search.pairs else ""
    return (
        f"equal work: {budget.baseline_images:,} images of {BASELINE} cost {budget.nfe:,.0f} guided network "
        f"evaluations (a gradient counts by its FLOPs) and {budget.baseline_reward_calls:,.0f} reward calls; an image "
        f"of {search.method} costs {budget.nfe_per_image:.4g}, so it trains on {budget.samples:,} images, with "
        f"{calls:,.0f} reward calls{pairs}"
    )


def rule(search: Search) -> str:
    """Returns the rule of choice as a sentence."""
    most = f"the learning rate and the number of images with the highest mean {search.reward}"
    where = f"on {search.validation}, over the training seeds {', '.join(map(str, search.seeds))}"
    if search.guard is None:
        return f"{most} {where}"
    return f"{most} {where}, among those whose {search.guard} fell by at most {_limit(search)}"


def notes(search: Search) -> Iterator[str]:
    """Yields what a user should know before the search runs."""
    if search.guard is None:
        yield (
            "nothing guards the choice: this model has no oracle, and no --guard REWARD is given. The highest reward "
            "is taken, also where the images no longer show their prompts"
        )
    entry = presets.preset_values(search.method, search.preset).get(presets.RATE)
    if entry and not min(search.rates) <= entry["value"] <= max(search.rates):
        yield (
            f"the preset {search.preset} has {presets.RATE}={entry['value']:g}, which lies outside the rates that are "
            "tried; --rates names others"
        )
    if low := [seed for seed in search.seeds if seed < FIRST_TUNING_SEED]:
        seeds = ", ".join(map(str, low))
        yield f"the seeds {seeds} are below {FIRST_TUNING_SEED}: do not compare with trainings of the same seeds"


def answer(search: Search, found: Outcome) -> str:
    """Returns what was chosen, in one sentence, or why nothing was."""
    if found.chosen is None:
        if not found.points:
            return "nothing was chosen: no rate has all of its trainings"
        least = min(found.points, key=lambda point: point.values.loss or 0.0)
        return (
            f"nothing was chosen: {search.guard} fell by more than {_limit(search)} everywhere; the smallest fall is "
            f"at {least.name}, where it {_change(search, least)}. Search lower rates, or allow more with --max-loss"
        )
    chosen = found.chosen
    gain, base = chosen.values.gain, found.base.reward.value
    sentence = (
        f"chosen: train.lr={chosen.rate:g} after {chosen.samples} images: {search.reward} {number(base)} of the base "
        f"model becomes {number(chosen.values.reward.value)} ({number(gain.value, sign=True)})"
    )
    return f"{sentence}; {search.guard} {_change(search, chosen)}" if search.guard else sentence


def remarks(search: Search, found: Outcome) -> Iterator[str]:
    """Yields what the choice leaves open: a rate at the end of the grid, no gain, failed rates."""
    rates, chosen = search.rates, found.chosen
    if chosen and len(rates) > 1 and chosen.rate in (rates[0], rates[-1]):
        end = "lowest" if chosen.rate == rates[0] else "highest"
        yield f"{chosen.rate:g} is the {end} rate that was tried: a better one may lie beyond it (--rates)"
    if chosen and chosen.values.gain.value <= 0:
        yield f"no checkpoint that may be chosen has more {search.reward} than the base model"
    for rate in found.failed:
        yield f"lr {rate:g} is no candidate, since one of its trainings or measurements failed"


def caption(search: Search, found: Outcome) -> str:
    """Returns the caption of the table of checkpoints."""
    count = len(prompt_sets.load(search.validation)) * IMAGES
    sentences = [
        f"{search.method} on {search.model}, trained on {search.prompts}; each training is measured on {count} images "
        f"of {search.validation}",
        f"Means over {len(search.seeds)} trainings, with the 95% interval over prompts and trainings",
    ]
    if search.guard:
        sentences.append(f"Fall: how much {search.guard} lies below the base model's, {_unit(search)}")
    sentences.append(
        "Network evaluations and reward calls are those of one training until then, with a gradient by FLOPs"
    )
    sentences.append(f"Chosen by this rule: {rule(search)}")
    if found.chosen is None:
        sentences.append("No row fulfils it")
    sentences.append(f"The first row is the {BASE} model. A number on validation prompts is no result of the method")
    return ". ".join(sentences) + "."


def _limit(search: Search) -> str:
    return f"{search.max_loss:g} ({_unit(search)})"


def _unit(search: Search) -> str:
    return "as a fraction" if guard_is_fraction(search) else "in standard deviations of the base model's images"


def _change(search: Search, point: Point) -> str:
    loss = point.values.loss or 0.0
    return f"{'rose' if loss < 0 else 'fell'} by {abs(loss):.3f} ({_unit(search)})"
