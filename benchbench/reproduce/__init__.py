"""Published tables as data: what each needs, and how to make it again."""
