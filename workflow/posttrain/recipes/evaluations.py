"""Figures of models."""

from typing import Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count
from posttrain.recipes.runtime import Reader, ReadRuntime
from posttrain.recipes.sampling import Sampling
from posttrain.recipes.scoring import Verifying


class Evaluation(Reader):
    """`evals/<model>/<name>`: figures of each of some models, on a split that none was trained on."""

    models: list[str] = Field(min_length=1, description="the models: names of targets or hub ids")
    split: Literal["train", "test"] = Field("test", description="which split of the rows")
    runtime: ReadRuntime = ReadRuntime()


class SampledEvaluation(Evaluation):
    """Figures of what a model answers."""

    prompts: str = Field(description="the rows: a name under data:")
    sampling: Sampling = Sampling()


class AnswersEvaluation(SampledEvaluation, Verifying):
    """How many answers are right, with a score of 1: greedily, sampled, and of n samples the best (pass@k, arXiv
    2107.03374)."""


AS_ITSELF = {"temperature": 1, "top_k": 0, "top_p": 1}  # of a sampling: the model's own distribution


class DriftEvaluation(SampledEvaluation):
    """How far a model has moved from another: KL of its own answers to that one, in nats."""

    drift_from: str = Field(description="the policy that it began as: a model's name or a hub id")

    @model_validator(mode="after")
    def reads_both(self) -> "DriftEvaluation":
        if self.sampling.engine != "transformers":
            raise ValueError("sampling.engine is transformers here, which opens both models; leave it out")
        return self

    @model_validator(mode="after")
    def draws_as_the_model(self) -> "DriftEvaluation":
        for field, plain in AS_ITSELF.items():
            if (said := getattr(self.sampling, field)) != plain:
                raise ValueError(
                    f"sampling.{field} {said:g} draws otherwise than the model does, whose KL this is; leave it out"
                )
        return self


class PairsEvaluation(Evaluation):
    """How often a reward model prefers the chosen answer."""

    pairs: str = Field(description="the rows: a name under preferences:")
    max_length: Count = Field(1024, description="tokens of prompt and answer that the model may be given")


class TextEvaluation(Evaluation):
    """How many bits a model needs for a byte of text."""

    text: str = Field(description="the rows: a name under data:")
    max_length: Count = Field(1024, description="tokens of a text that the model sees at once")


# Of each, the field that no other has.
KINDS = {"drift_from": DriftEvaluation, "verifier": AnswersEvaluation, "pairs": PairsEvaluation, "text": TextEvaluation}
