"""What a completion is worth, and which are chosen for it."""
