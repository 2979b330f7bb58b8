"""Where jobs run: on this machine (``local``)."""
