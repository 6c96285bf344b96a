"""What YAML may say, and what of it an artifact is. Imports no torch."""
