"""Generate what is missing, score what is missing, make a table and a page: nothing that exists is made again."""

from benchbench.evaluate.report import EvalResult, evaluate

__all__ = ["EvalResult", "evaluate"]
