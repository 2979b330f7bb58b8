"""`bench tune`: the search for a method's learning rate, by one protocol for all methods."""
