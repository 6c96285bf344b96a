"""What others call it: docs/other-names.md."""

from posttrain.recipes import elsewhere

HEAD = """\
# Names from elsewhere

Keys of TRL, transformers, accelerate and the Alignment Handbook that a recipe says otherwise, or has no need to say.
Written by `python tests/generate.py --fix` from `workflow/posttrain/recipes/elsewhere.py`, by which a refusal answers
such a key and `posttrain import` reads it. All other keys are called as they are there: [What a recipe may
say](reference.md).

| there | in a recipe | |
|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(
        f"| `{key}` | {f'`{other.said}`' if other.said else '–'} | {other.why} |\n"
        for key, other in sorted(elsewhere.OTHERWISE.items())
    )
