"""Physics gates: where policy and reference are one model, the first loss is known."""

import math

from posttrain.files import Refusal

# The loss of one pair whose log-ratios are all zero, by TRL 1.16's loss_type, for a given beta.
AT_REST = {
    "sigmoid": lambda beta: math.log(2),
    "hinge": lambda beta: 1.0,
    "ipo": lambda beta: 1 / (4 * beta**2),
    "apo_zero": lambda beta: 1.0,
}
TOLERANCE = 1e-3  # relative: the same weights in the same forward, so only rounding may differ


def expected(loss_types: list[str], weights: list[float], beta: float) -> float:
    """The preference part of the first loss."""
    return sum(w * AT_REST[name](beta) for name, w in zip(loss_types, weights, strict=True) if name in AT_REST)


def check(found: float, loss_types: list[str], weights: list[float], beta: float) -> None:
    """Raises: Refusal, if a run starts elsewhere: it is wired wrongly (another reference, swapped or cut pairs)."""
    known = expected(loss_types, weights, beta)
    if not abs(found - known) <= TOLERANCE * known:
        raise Refusal(
            f"physics gate: the first loss of {'+'.join(loss_types)} is {found:.6g}, and {known:.6g} where policy and "
            "reference are one model: the reference is another model, or the pairs are broken. Nothing was trained"
        )
