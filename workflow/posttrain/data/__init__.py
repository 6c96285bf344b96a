"""Rows: where they come from, what they must look like, and the tokens they become."""
