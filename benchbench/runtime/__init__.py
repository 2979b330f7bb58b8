"""The machine: memory, precision, and CUDA that is only pretended."""
