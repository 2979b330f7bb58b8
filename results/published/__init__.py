"""The numbers that the papers print, one CSV file a table; the package carries them as data."""
