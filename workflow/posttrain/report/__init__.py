"""The page that a person reads at the end."""
