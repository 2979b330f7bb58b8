"""Reads preference pairs of images. Making pairs is evaluate/make_pairs.py."""
