"""Backends run jobs; ``local`` runs them on this machine."""
