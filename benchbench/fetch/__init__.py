"""Downloads from the hub; no other package uses the network itself (``parity`` calls pip)."""
