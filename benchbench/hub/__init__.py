"""Files from other authors (models, weights, released checkpoints) and their locations on this machine."""
