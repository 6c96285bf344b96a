"""What every recipe is written in: strict fields, and the runtime that is never part of what an artifact is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Entry(BaseModel):
    """Strict: a string is no number, and an unknown key is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Runtime(Entry):
    """Where and how fast: never part of what an artifact is."""

    hours: Positive = Field(1, description="time limit of the job, hours")
    mem_gb: Positive = Field(8, description="memory of the job's machine, GB")
    threads: Count = Field(1, description="CPU threads a process")
