"""Intervals on means and on paired differences. The unit of resampling is the prompt, then the training seed."""
