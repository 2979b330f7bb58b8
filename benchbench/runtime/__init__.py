"""The machine: files, hashes, memory, precision, threads, processes, jobs, progress and provenance."""
