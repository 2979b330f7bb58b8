"""The control that no training is needed for: of several images of the base model, the one that a reward likes most."""

from __future__ import annotations

import pandas as pd

GROUP = ["prompt_index", "eval_seed", "sample"]


def best_of(frame: pd.DataFrame, reward: str, count: int) -> pd.DataFrame:
    """Returns the scores of the best of each ``count`` samples of a prompt, numbered as the images that are shown.

    ``frame`` has the scores of all candidates under every reward. Samples 0 to count - 1 become sample 0, and so on; of
    equal scores the first wins.
    """
    groups = frame.assign(candidate=frame["sample"] % count, sample=frame["sample"] // count)
    judged = groups[groups.reward == reward].sort_values([*GROUP, "candidate"])
    best = judged.loc[judged.groupby(GROUP, sort=False).score.idxmax(), [*GROUP, "candidate"]]
    chosen = groups.merge(best, on=[*GROUP, "candidate"]).drop(columns="candidate")
    return chosen.sort_values(["reward", *GROUP], kind="stable", ignore_index=True)
