"""Files that others made: models, weights, released checkpoints, and where they lie on this machine."""
