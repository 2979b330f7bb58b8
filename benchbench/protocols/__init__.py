"""How scores become a table: one file a protocol. A protocol is frozen, and its digest is in every caption."""
