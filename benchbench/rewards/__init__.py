"""From a reward's name to its class, and scoring with it."""
