"""Calls that do what the commands do: ``import benchbench`` exports these, and the command line calls them.

Each file has one call: ``train.py`` has ``train``, with the function that ``bench train`` runs, and so on.
"""

import warnings

# tqdm, which huggingface_hub imports, says this in every notebook without ipywidgets; our calls print nothing
warnings.filterwarnings("ignore", message="IProgress not found")
