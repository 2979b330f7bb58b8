"""From a sweep's file to a table: its rows, its columns and its seeds, as a Spec and a Track."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchbench import choice, defaults, presets, registry
from benchbench import config as configs
from benchbench import prompts as prompt_sets
from benchbench.config import RunConfig
from benchbench.errors import BenchError, MissingError, UsageError
from benchbench.hub import models
from benchbench.prompts.words import check_vocabulary
from benchbench.reproduce.budget import equal_budget
from benchbench.reproduce.spec import Block, Claim, Row, Spec, Stop, Track
from benchbench.reproduce.sweep_file import SweepFile, SweepText
from benchbench.rewards import lookup
from benchbench.runtime.names import safe_name
from benchbench.samplers import FlowSampler, SamplerConfig, default_sampler

BASE = "base"
Fault = tuple[tuple[str | int, ...], str]  # a place in the file, and what is wrong there


@dataclass(frozen=True)
class Sweep:
    """A sweep as a table of one track."""

    spec: Spec
    track: Track
    seeds: tuple[int, ...]


def load(path: Path) -> Sweep:
    """Returns the sweep of a file.

    A combination that a method refuses, as a setting that it does not have, is a row that is not available. Errors:
    UsageError, which names every wrong line; a setting that every method refuses is wrong.
    """
    text = SweepText(path)
    file = text.parse()
    names = _RewardNames(file)
    faults = [*_unknown_names(file), *names.faults] or list(_broken_methods(file))
    if faults:
        raise text.wrong(faults)
    train_prompts = file.train_prompts or defaults.of(file.model).prompts
    tried = _Combinations(file, names.by_word, train_prompts)
    faults = list(tried.refused_by_all())
    if faults:
        raise text.wrong(faults)
    rows, unavailable, samplers = _rows(file, names, tried)
    claims, faults = _claims(file, rows)
    stop, of_stop = _stop(file, names.by_word.values())
    if faults := [*faults, *of_stop]:
        raise text.wrong(faults)
    gold, columns = defaults.of(file.model).gold_reward, [names.by_word[word] for word in file.rewards]
    track = Track(
        model=file.model,
        train_prompts=train_prompts,
        samples=file.samples or defaults.of(file.model).samples,
        blocks=[Block(prompts=prompts, images=images) for prompts, images in file.prompts.items()],
        rewards={column: column for column in columns},
        train_reward=names.by_word[file.train_reward] if file.train_reward else None,
        gold=None if gold in columns else gold,
        unavailable=unavailable,
        pairs=file.pairs,
        # trainings with different samplers are compared under one
        sampler=default_sampler(file.model).model_dump(mode="json") if len(samplers) > 1 else None,
    )
    spec = Spec(
        id=safe_name(path.stem, "-"),
        title=file.title or f"Sweep {path.stem}",
        source=f"A sweep, {path.name}",
        about=_about(file, track),
        published=None,
        paper_track="",
        rows=rows,
        tracks={file.model: track},
        claims=claims,
        stop=stop,
        file=str(path),
    )
    return Sweep(spec, track, tuple(file.seeds))


def _rows(
    file: SweepFile, names: _RewardNames, tried: _Combinations
) -> tuple[dict[str, Row], dict[str, str], list[SamplerConfig | FlowSampler]]:
    """Returns the rows, why some of them are not available, and the different samplers of their trainings."""
    rows, unavailable, samplers = {BASE: Row()}, {}, []
    for name, method, words in tried.rows():
        settings, samples = tried.settings(method, words), file.samples
        if isinstance(settings, RunConfig) and file.budget:
            samples = equal_budget(settings, file.budget, count_pairs=True).samples
        reward = names.by_word[file.reward_of[method]] if method in file.reward_of else None
        rows[name] = Row(method=method, reward=reward, set=words, samples=samples)
        if isinstance(settings, RunConfig):
            samplers += [settings.sampler] if settings.sampler not in samplers else []
        else:
            unavailable[name] = settings
    rows |= {f"best-of-{count}": Row(best_of=count) for count in file.best_of}
    return rows, unavailable, samplers


def _stop(file: SweepFile, columns: Collection[str]) -> tuple[Stop | None, list[Fault]]:
    """Returns how trainings are stopped in time, and what is wrong with that."""
    if file.stop is None:
        return None, [(("guard",), "it guards nothing: give stop, too")] if file.guard else []
    faults = list(_faults(("stop",), partial(_readable_prompts, file.stop, file.model)))
    if file.stop in (file.train_prompts or defaults.of(file.model).prompts, *file.prompts) or ".test" in file.stop:
        faults.append((("stop",), "checkpoints are chosen on neither training nor test prompts"))
    guard = file.guard or defaults.of(file.model).gold_reward
    if guard is None:
        faults.append((("stop",), "this model has no gold reward; name a guard, a reward that must not fall"))
    elif file.guard:
        faults += _faults(("guard",), partial(lookup.resolve, file.guard, file.model))
    if guard in columns:
        faults.append((("guard",), f"{guard} is a column, and a guard is a reward that no training is judged by"))
    return (None if faults else Stop(validation=file.stop, guard=str(guard))), faults


def _claims(file: SweepFile, rows: Mapping[str, Row]) -> tuple[list[Claim], list[Fault]]:
    """Returns the stated orders, and what is wrong with those that are none or name no row."""
    claims: list[Claim] = []
    faults: list[Fault] = []
    for i, words in enumerate(file.claims):
        better, _, worse = (word.strip() for word in words.partition(">"))
        unknown = [row for row in (better, worse) if row not in rows]
        if unknown or better == worse:
            faults.append((("claims", i), f"{words!r} is no order of two rows; the rows are {'; '.join(rows)}"))
        else:
            claims.append(Claim(better=better, worse=worse))
    return claims, faults


def _unknown_names(file: SweepFile) -> Iterator[Fault]:
    """Yields what is wrong with the names of the model, the methods and the prompt sets; missing files are no fault."""
    yield from _faults(("model",), partial(models.pipeline_folder, file.model))
    for i, method in enumerate(file.methods):
        yield from _faults(("methods", i), partial(registry.require, "methods", method))
    for field in ("of_method", "reward_of"):
        for method in getattr(file, field):
            if method not in file.methods:
                yield (field, method), f"the sweep has no method {method!r}, but {', '.join(file.methods)}"
    if file.train_prompts:
        yield from _faults(("train_prompts",), partial(_readable_prompts, file.train_prompts, file.model))
    for name in file.prompts:
        yield from _faults(("prompts", name), partial(_readable_prompts, name, file.model))


def _readable_prompts(name: str, model: str) -> None:
    """Raises what ``prompts.load`` raises, and UsageError for a word that the model does not know."""
    check_vocabulary(prompt_sets.load(name), model)


def _broken_methods(file: SweepFile) -> Iterator[Fault]:
    """Yields what is wrong with the code of the methods, which loads torch: unknown names are told before."""
    for i, method in enumerate(file.methods):
        yield from _faults(("methods", i), partial(registry.get, "methods", method))


def _faults(place: tuple[str | int, ...], look_up: Callable[[], object]) -> Iterator[Fault]:
    try:
        look_up()
    except MissingError:
        pass
    except BenchError as error:
        yield place, f"{error.problem}; {error.cause}"


class _RewardNames:
    """The registered names of the rewards in a file, and what is wrong with them."""

    def __init__(self, file: SweepFile) -> None:
        self.by_word: dict[str, str] = {}
        self.faults: list[Fault] = []
        for i, word in enumerate(file.rewards):
            self._add(("rewards", i), word, file.model, trained_on=file.train_reward is None)
        if file.train_reward:
            self._add(("train_reward",), file.train_reward, file.model, trained_on=True)
        for method, word in file.reward_of.items():
            self._add(("reward_of", method), word, file.model, trained_on=True)

    def _add(self, place: tuple[str | int, ...], word: str, model: str, trained_on: bool) -> None:
        def look_up() -> None:
            name = lookup.resolve(word, model)[0]
            if place[0] == "rewards" and name in self.by_word.values():
                raise UsageError(f"{word} is {name}, which comes twice", "name it once", "")
            self.by_word[word] = name
            reward_class = lookup.get(name)
            lookup.check_base(reward_class, model)
            if trained_on and not reward_class.trainable:
                raise UsageError(
                    f"{word} is a gold reward and is never trained on", "name another one as train_reward", ""
                )

        self.faults += _faults(place, look_up)


class _Combinations:
    """The rows of a sweep, and the settings of each or why its method refuses them."""

    def __init__(self, file: SweepFile, rewards: Mapping[str, str], train_prompts: str) -> None:
        """Takes the registered names of the file's rewards."""
        self.file, self._rewards, self._train_prompts = file, rewards, train_prompts

    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yields the name of each row, its method and its words of ``--set``."""
        names = _short_names(self.file.set)
        for method, values in itertools.product(self.file.methods, itertools.product(*self.file.set.values())):
            chosen = [(key, choice.word_of(value)) for key, value in zip(self.file.set, values, strict=True)]
            name = ", ".join([method, *(f"{names[key]} {value}" for key, value in chosen if key in names)])
            own = [(key, choice.word_of(value)) for key, value in self.file.of_method.get(method, {}).items()]
            yield name, method, [f"{key}={value}" for key, value in (*own, *chosen)]

    def refused_by_all(self) -> Iterator[Fault]:
        """Yields each value that no method of the sweep takes."""
        for key, values in self.file.set.items():
            for i, value in enumerate(values):
                found = [self.settings(method, [f"{key}={choice.word_of(value)}"]) for method in self.file.methods]
                reasons = [reason for reason in found if isinstance(reason, str)]
                if len(reasons) == len(found):
                    yield ("set", key, i), reasons[0]

    def settings(self, method: str, words: Sequence[str]) -> RunConfig | str:
        """Returns the settings of a training, or why the method refuses them."""
        offline = registry.get("methods", method).data == "offline"
        pairs, model = self.file.pairs if offline else None, self.file.model
        reward = self._rewards[self.file.reward_of.get(method) or self.file.train_reward or self.file.rewards[0]]
        try:
            return configs.load(method, model, reward, self._train_prompts, 1, 0, overrides=words, pairs=pairs)
        except UsageError as error:
            return error.cause


def _short_names(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the last word of each setting's name that has several values; the whole name where two share it."""
    varied = [key for key, values in settings.items() if len(values) > 1]
    last = [key.rpartition(".")[2] for key in varied]
    return {key: short if last.count(short) == 1 else key for key, short in zip(varied, last, strict=True)}


def _about(file: SweepFile, track: Track) -> str:
    """Returns what was swept, in sentences."""
    swept = [f"method {', '.join(file.methods)}"]
    swept += [f"{key} {', '.join(map(choice.word_of, values))}" for key, values in file.set.items()]
    columns = ", ".join(track.rewards)
    own = "each column has its own trainings, on its reward"
    trained = f"all trainings are on {track.train_reward}" if track.train_reward else own
    sentences = [f"Swept: {'; '.join(swept)}; training seeds {', '.join(map(str, file.seeds))}"]
    sentences.append(f"Columns {columns}: {trained}, with the prompts {track.train_prompts}")
    for count in file.best_of:
        sentences.append(
            f"best-of-{count}: of {count} images of the base model, the one that the trained reward prefers"
        )
    if file.budget:
        sentences.append(f"Each training costs no more network evaluations than {file.budget} images of ddpo")
    sentences += [f"{method} is trained on {reward}" for method, reward in file.reward_of.items()]
    for method, settings in file.of_method.items():
        others = {key: value for key, value in settings.items() if key != presets.RATE}  # the caption has the rates
        words = [f"{key} {choice.word_of(value)}" for key, value in others.items()]
        sentences += [f"{method} has {', '.join(words)}"] if words else []
    if file.samples:
        sentences.append(f"At least {file.samples} images a training, in whole rollouts")
    if track.sampler:
        sentences.append("Rows were trained with different samplers and are measured under one")
    return ". ".join(sentences) + "."
