"""Many videos of one list: rows, checks, results, and the loop over them."""
