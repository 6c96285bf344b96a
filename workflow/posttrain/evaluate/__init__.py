"""What a model is worth."""

MODULES = {"prompts": "answers", "drift": "drift", "pairs": "pairs", "text": "text", "tasks": "benchmarks"}
