"""Tables, curves, image grids, and the one page that shows them."""
