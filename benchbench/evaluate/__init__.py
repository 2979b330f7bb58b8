"""Generates and scores what the store lacks, then writes a table and a page."""

from benchbench.evaluate.report import EvalResult, evaluate

__all__ = ["EvalResult", "evaluate"]
