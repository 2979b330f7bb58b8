"""The tests. This file makes the folder a package, so that another package called tests cannot take its place."""
