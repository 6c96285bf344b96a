"""What does not go together, and how it failed when it was tried: refused in the plan, before anything is paid for."""

from collections.abc import Iterator

from posttrain.recipes.methods import TrainedModel


def refusals(recipe: TrainedModel, micro_batch_size: int) -> Iterator[tuple[tuple, str]]:
    """The key of a recipe that cannot be trained as it is, and why: by TRL 1.16, PEFT 0.21 and bitsandbytes 0.50.

    Args:
        micro_batch_size: what the recipe says, or what its batch size leaves.
    """
    if recipe.method == "kto" and recipe.train.couples_rows and micro_batch_size == 1:
        yield (
            ("runtime", "micro_batch_size"),
            "1 is too few: kto's KL is a mean over a micro-batch; say 2 or more",
        )
