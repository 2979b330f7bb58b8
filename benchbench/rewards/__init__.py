"""Looks up rewards by name, mixes them, and scores images with them."""
