"""A program for the environment of the authors' packages, Python 3.10: it imports nothing of benchbench.

``python -m`` it there with a request on standard input (``__main__.py``).
"""
