"""Preference data: reading pairs of images, never making them."""
