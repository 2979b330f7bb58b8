"""The content of a study's file, study.json: everything that is decided before the first vote."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

SCHEMA: Literal[1] = 1
Answers = Literal["win-lose", "win-draw-lose", "win-draw-bad-lose"]
BUTTONS: dict[str, tuple[str, ...]] = {
    "win-lose": ("left", "right"),
    "win-draw-lose": ("left", "draw", "right"),
    "win-draw-bad-lose": ("left", "draw", "bad", "right"),
}
"""The answers that a rater may give, by the name of the set; ``bad`` says that both pictures are bad."""
CONSENT = (
    "You will see pairs of pictures that computer programs made from a text, and say which one you prefer. "
    "There is no right answer. You may stop at any time by closing the page, and go on later with the same link. "
    "Your answers and the time that each one takes are stored under a number, and with the code of the service that "
    "sent you here, if one did. Nothing else about you is stored. The answers are used to compare these programs, and "
    "may be published without that code."
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(NamedTuple):
    """One page of a rater: a comparison, a repeated one, or an attention check, by its number in the study.

    ``swapped`` shows the second picture at the left.
    """

    kind: Literal["pair", "repeat", "check"]
    number: int
    swapped: bool


class Arm(_Model):
    """A row of the study. ``run`` and ``adapter_hash`` are None for the base model."""

    label: str
    run: str | None
    adapter_hash: str | None


class Picture(_Model):
    """A picture: its file in the study, and which image of which arm it is. ``sha256`` is that of its pixels."""

    file: str
    arm: int
    prompt: int
    sample: int
    seed: int
    sha256: str


class Comparison(_Model):
    """Two pictures of one prompt by their numbers; ``first`` is of the arm that comes first."""

    first: int
    second: int


class Check(_Model):
    """An attention check: a picture by its number, and the file of its destroyed copy, which no rater prefers."""

    picture: int
    destroyed: str


class Exclusion(_Model):
    """The rule that says beforehand whose votes are left out: lower shares of passed checks or kept answers."""

    passed_checks: float
    kept_answers: float

    def describe(self) -> str:
        """Returns the rule as a sentence."""
        rule = f"A rater who passes fewer than {self.passed_checks:.0%} of the attention checks is excluded"
        if self.kept_answers:
            rule += f", and so is one who keeps the answer on fewer than {self.kept_answers:.0%} of the repeated pairs"
        return f"{rule}."


STANDARD_RULE = Exclusion(passed_checks=0.75, kept_answers=0.0)


class Study(_Model):
    """A study as it was frozen. ``comparisons``, ``pictures`` and ``checks`` are named by their places in the lists."""

    schema_version: Literal[1] = SCHEMA
    name: str
    seed: int
    simulated: bool = False
    """True for a copy that a simulated panel answered; its results are no results."""
    model: str
    model_hash: str
    sampler: dict[str, Any]
    dtype: str
    shared_start: bool
    prompts_name: str
    prompts_hash: str
    prompts: tuple[str, ...]
    arms: tuple[Arm, ...]
    images_per_prompt: int
    eval_seeds: tuple[int, ...]
    questions: tuple[str, ...]
    answers: Answers
    raters: int
    votes_per_pair: int
    consent: str
    exclusion: Exclusion
    pictures: tuple[Picture, ...]
    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...]
    assignment: tuple[tuple[Item, ...], ...]
    """The pages of each rater, in order."""
    made_on: dict[str, Any]
    """The record of the command that made the study."""

    @property
    def buttons(self) -> tuple[str, ...]:
        """The answers that a rater may give."""
        return BUTTONS[self.answers]

    @property
    def between_runs(self) -> bool:
        """True where arms are compared with each other, False where images of one arm are."""
        return len(self.arms) > 1

    def files(self, item: Item) -> tuple[str, str]:
        """Returns the files of the left and the right picture of a page."""
        if item.kind == "check":
            check = self.checks[item.number]
            pair = self.pictures[check.picture].file, check.destroyed
        else:
            comparison = self.comparisons[item.number]
            pair = self.pictures[comparison.first].file, self.pictures[comparison.second].file
        return (pair[1], pair[0]) if item.swapped else pair

    def prompt(self, item: Item) -> str:
        """Returns the prompt of a page."""
        place = self.checks[item.number].picture if item.kind == "check" else self.comparisons[item.number].first
        return self.prompts[self.pictures[place].prompt]
