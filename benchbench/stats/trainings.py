"""How many trainings a verdict needs. This file imports nothing, so that commands can name the numbers without pandas."""

FEWEST_TRAININGS = 5
"""Below this number of trainings of a row no verdict is given: its numbers describe these trainings."""

MOST_TRAININGS = 20
"""The largest number of trainings that is proposed for a comparison."""
