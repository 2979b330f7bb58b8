"""Builds the shapes world. Each stage is one file; `plan` gives their order."""
