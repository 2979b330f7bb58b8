"""Means, paired differences and win rates with intervals and tests that respect prompts and training seeds."""
