"""How the shapes world is made: one file a stage, run in the order that `plan` gives."""
