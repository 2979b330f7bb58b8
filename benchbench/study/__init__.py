"""Blind studies with people: what is compared, who sees what, the pages they see, and their votes."""
