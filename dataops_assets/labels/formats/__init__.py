"""One module a format: `read(...)` gives rows of `tables.COLUMNS`, `write(rows, sizes)` the files by their path."""
