"""Published tables as YAML files, and the code that makes them again: trains, measures and writes the report."""
