"""Physics gates: what the first loss must be, where theory knows it, before anything is learnt from it."""

import math

import torch

from posttrain.files import Refusal

LN2 = math.log(2)
# The loss of one pair whose log-ratios are all zero, by TRL 1.16's loss_type, for a given beta and label_smoothing.
AT_REST = {
    "sigmoid": lambda beta, smoothing: LN2,
    "sigmoid_norm": lambda beta, smoothing: LN2,
    "hinge": lambda beta, smoothing: 1.0,
    "ipo": lambda beta, smoothing: 1 / (4 * beta**2),
    "exo_pair": lambda beta, smoothing: -LN2 - (math.log1p(-smoothing) + math.log(smoothing)) / 2,
    "nca_pair": lambda beta, smoothing: 2 * LN2,
    "robust": lambda beta, smoothing: LN2,
    "bco_pair": lambda beta, smoothing: 2 * LN2,
    "sppo_hard": lambda beta, smoothing: 1 / (2 * beta**2),
    "aot": lambda beta, smoothing: LN2,
    "aot_unpaired": lambda beta, smoothing: LN2,
    "apo_zero": lambda beta, smoothing: 1.0,
    "apo_down": lambda beta, smoothing: 1.0,
    "discopop": lambda beta, smoothing: (LN2 + 1) / 2,
}
# Relative. The reference's log-probs are of the same weights, padded and batched otherwise: only rounding may differ,
# which for sums over an answer's tokens is coarse in bfloat16.
TOLERANCE = 1e-3
TOLERANCE_BF16 = 5e-2
# Logits of random weights are spread by s = initializer_range·√hidden_size around zero, and cost ln V + s²/2 a token:
# 0.8 more than guessing at 0.02 and 4096. What was taught in this vocabulary, on rows at all like these, costs less.
SPREAD = 1.0
MERGED = 2e-2  # of the logits' length: what rounding to bfloat16 weights may change
LOST = 0.1  # of what an adapter changes: what that rounding may take of it
FLOAT = 1e-5  # of the logits' length: what rounding in float32 changes, though the adapter does nothing
SIGMAS = 5  # of the draw of a head: one in two million is further away
ROUNDING = 1e-2  # of scores in bfloat16


def expected(loss_types: list[str], weights: list[float], beta: float, label_smoothing: float) -> float:
    """The preference part of the first loss."""
    named = zip(loss_types, weights, strict=True)
    return sum(weight * AT_REST[name](beta, label_smoothing) for name, weight in named if name in AT_REST)


def at_rest(found: float, known: float, name: str, bf16: bool) -> None:
    """Raises: Refusal, if a run starts elsewhere: it is wired wrongly (another reference, swapped or cut pairs).

    Args:
        found: the first loss.
        known: what it is where policy and reference are one model.
        name: of the loss.
        bf16: whether log-probs are computed in bfloat16.
    """
    if not abs(found - known) <= (TOLERANCE_BF16 if bf16 else TOLERANCE) * known:
        raise Refusal(
            f"physics gate: the first loss of {name} is {found:.6g}, and {known:.6g} where policy and "
            "reference are one model: the reference is another model, or the pairs are broken. Nothing was trained"
        )


def no_worse_than_guessing(found: float, vocabulary: int) -> None:
    """Raises: Refusal, if a model that is to go on learning finds the first tokens less likely than chance would.

    Args:
        found: mean loss of a token, nats.
        vocabulary: tokens that the model chooses from.
    """
    most = math.log(vocabulary) + SPREAD
    if not found <= most:
        raise Refusal(
            f"physics gate: the first loss is {found:.6g} a token, and guessing among {vocabulary} tokens costs "
            f"{math.log(vocabulary):.6g}: the base was taught another vocabulary than the tokenizer's, or its weights "
            "are broken. Nothing was trained"
        )


def undecided(found: float, mean: float, square: float, initializer_range: float) -> None:
    """Raises: Refusal, if a reward model whose head was drawn anew prefers one side of the first pairs.

    A score is w·h, with h the last token's hidden state and w drawn from N(0, σ²) in each of hidden_size places. So
    the margin of pair i is m = w·d, with d = h_chosen - h_rejected, and its loss ln(1 + exp(-m)) lies between
    ln 2 - m/2 and ln 2 - m/2 + m²/8. Over n pairs the mean of m is a draw from N(0, σ²‖mean d‖²), and the mean of m²
    is one with mean σ²·mean ‖d‖². Pairs that have nothing in common have ‖mean d‖² = mean ‖d‖² / n, and a norm
    without gains makes ‖d‖² at most 4·hidden_size; but pairs are alike and norms have gains, so both are measured.

    Args:
        found: the first loss, without the centre term.
        mean: ‖mean d‖ over the pairs.
        square: mean ‖d‖² over the pairs.
        initializer_range: σ.
    """
    allowed = SIGMAS * initializer_range * mean / 2 + SIGMAS**2 * initializer_range**2 * square / 8 + ROUNDING
    if not abs(found - math.log(2)) <= allowed:
        raise Refusal(
            f"physics gate: the first loss of a reward model is {found:.6g}, and ln 2 ± {allowed:.2g} where its head "
            "was drawn just now: the head was not drawn as its config says, or the pairs are broken. Nothing was "
            "trained"
        )


def said_the_same(found: torch.Tensor, adapter: torch.Tensor, base: torch.Tensor) -> None:
    """Raises: Refusal, if a merge lost of its adapter more than rounding may take.

    Most of a small adapter is below half a unit in the last place of bfloat16 weights: the base alone would come out.

    Args:
        found: the merged model's logits.
        adapter: those of the adapter on its base.
        base: those of the base alone.
    """
    apart, moved = (float((one - adapter).norm() / adapter.norm()) for one in (found, base))
    if not apart <= min(MERGED, max(LOST * moved, FLOAT)):
        raise Refusal(
            f"physics gate: the merged model's logits are {apart:.3g} of their length from those of the adapter on its "
            f"base, which it moves by {moved:.3g}: rounding lost it, or the merge went wrong. Say `dtype: float32`, "
            "if it is not. Nothing was saved"
        )
