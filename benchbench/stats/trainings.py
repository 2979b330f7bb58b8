"""Holds the numbers of trainings that a verdict needs, and imports nothing: commands use them without pandas."""

FEWEST_TRAININGS = 5
"""Below this number of trainings of a row no verdict is given: its numbers describe these trainings."""

MOST_TRAININGS = 20
"""The largest number of trainings that is proposed for a comparison."""
