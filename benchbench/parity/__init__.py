"""Compares our rewards with the authors' own packages on one machine's weights: ``bench parity``.

The packages need versions of torch and transformers that cannot stand beside ours. They are installed into an
environment of their own, and ``theirs``, a program for its interpreter, scores the same pictures from the same files.
"""
