"""posttrain: post-training recipes as files."""
