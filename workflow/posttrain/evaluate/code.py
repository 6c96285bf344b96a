"""The metric of what models program: Hugging Face's `code_eval` (arXiv 2107.03374), each program in a sandbox.

lm-eval has `evaluate` fetch that metric's program from the hub, which nothing here does, and which runs what a model
wrote with a user's own rights.
"""

import evaluate as metrics

from posttrain.build import sandbox
from posttrain.evaluate.answers import pass_at
from posttrain.files import Refusal


class CodeEval:
    """As lm-eval's humaneval calls it, which tries it when it is imported: programs that are not run are wrong."""

    def __init__(self, runs: bool) -> None:
        self.runs = runs

    def compute(self, references: list[str], predictions: list[list[str]], k: list[int]) -> tuple[dict, dict]:
        """pass@k of each problem's programs, each with its tests behind it."""
        counts = [
            (len(programs), sum(self.runs and sandbox.passes(f"{program}\n{tests}") for program in programs))
            for tests, programs in zip(references, predictions, strict=True)
        ]
        return {f"pass@{i}": sum(pass_at(*count, i) for count in counts) / len(counts) for i in k}, {}


def serve(runs: bool) -> None:
    """Have `evaluate` give this metric where it is asked for one."""

    def load(name: str) -> CodeEval:
        if name != "code_eval":
            raise Refusal(f"metric {name} is a program on the hub, and none of those is run")
        return CodeEval(runs)

    metrics.load = load
