"""Training: the loop, the losses, checkpoints."""
