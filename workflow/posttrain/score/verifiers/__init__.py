"""Functions that know whether a completion is right: from its text and the reference answer to a score.

Each takes any text, and runs none of it. A reference that is `str | None` is none that it needs.
"""

import inspect
from collections.abc import Callable

from posttrain.data.tasks import wrong_task
from posttrain.score.verifiers import answers, constraints, reasoning

GIVEN = ("completion", "reference", "prompt")  # what a verifier may ask for of a completion's row
# What a scorer's `verifier:` may name.
KNOWN = {
    known.__name__: known
    for known in (
        answers.exact_match, answers.number_match, answers.math_verify, answers.regex, reasoning.reasoning_gym,
        constraints.constraints, constraints.row_constraints,
    )
}  # fmt: skip
# The argument, of all that a verifier takes and of their types, that it can do nothing with, and why.
CHECKS = {
    "regex": answers.wrong_pattern,
    "reasoning_gym": wrong_task,
    "constraints": constraints.wrong_constraints,
    "row_constraints": constraints.wrong_beside_rows,
}
# Of a verifier that is named as the module it needs: that one's package, and the extra.
PACKAGES = {"math_verify": ("math-verify", "math"), "reasoning_gym": ("reasoning-gym", "quickstart")}


def needs_reference(verifier: str | dict | Callable) -> bool:
    """Whether a verifier compares with a right answer: of a person's own that is known where it can be run."""
    call = KNOWN.get(verifier) if isinstance(verifier, str) else verifier
    takes = inspect.signature(call).parameters if callable(call) else {}
    return "reference" in takes and takes["reference"].annotation in (str, "str")
