"""Reward models, one file each. To add one, see CONTRIBUTING.md."""
