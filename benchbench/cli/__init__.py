"""The command line: each file reads one command's words, calls one function and prints what it returns.

``bench --help`` imports no command (cli/commands.py). A command's file imports at its top whatever loads in a moment;
what loads torch, diffusers or pandas is imported inside the function that needs it, so that wrong words are refused
at once and help, lists and completion stay quick.
"""
