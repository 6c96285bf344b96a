"""Answers drawn from a model."""
