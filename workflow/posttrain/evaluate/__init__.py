"""What a model is worth."""

MODULES = {"prompts": "answers", "tasks": "benchmarks"}
MODULES |= {of: of for of in ("drift", "ratings", "wins", "pairs", "text")}
