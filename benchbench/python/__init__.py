"""What a command does, as a function: ``import benchbench`` exports these, and the command line calls them.

Each file has one call: ``train.py`` has ``train``, with the function that ``bench train`` runs, and so on.
"""
