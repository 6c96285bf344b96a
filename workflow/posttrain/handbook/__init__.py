"""YAMLs of the Alignment Handbook as pages of recipes."""
