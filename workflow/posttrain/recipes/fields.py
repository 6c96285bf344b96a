"""What every recipe is written in: strict fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]


class Entry(BaseModel):
    """Strict: a string is no number, and an unknown key is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
