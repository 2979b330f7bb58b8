"""Generates and scores what the store lacks, then writes a table and a page: ``report.evaluate``."""
