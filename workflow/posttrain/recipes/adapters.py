"""A model that is trained through a few weights beside its own, and the precision its own are held in."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, Positive


class Peft(Entry):
    """LoRA and its kin, in the words of PEFT 0.21's LoraConfig. The model is then the adapter, beside its base."""

    r: Count = Field(8, description="rank of an adapter's matrices")
    lora_alpha: Positive = Field(16, description="an adapter's scale, divided by its rank")
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0, description="dropout before an adapter")
    target_modules: Literal["all-linear"] | list[str] = Field("all-linear", description="the modules that get one")
    use_rslora: bool = Field(False, description="divide the scale by the rank's root (rsLoRA, arXiv 2312.03732)")
    use_dora: bool = Field(False, description="learn a weight's length and direction apart (DoRA, arXiv 2402.09353)")

    @model_validator(mode="after")
    def leaves_the_head(self) -> "Peft":
        if not self.target_modules:
            raise ValueError("target_modules is empty: no module would be trained")
        if "lm_head" in self.target_modules:
            raise ValueError("target_modules names lm_head, whose adapter TRL's losses would not see; leave it out")
        return self


class Quantization(Entry):
    """The base's weights in four bits while an adapter is trained (QLoRA), in the words of BitsAndBytesConfig."""

    load_in_4bit: Literal[True] = Field(description="true: what is not asked for is left out")
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field("nf4", description="the four bits' values")
    bnb_4bit_use_double_quant: bool = Field(True, description="quantise the scales too")
