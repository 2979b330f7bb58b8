"""Tables, curves, image grids, and the page that shows them. Data comes from the caller; nothing is measured here."""
