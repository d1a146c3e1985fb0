"""Tables of Amazon's operations and shapes, written by ``make models``: never edited by hand."""
