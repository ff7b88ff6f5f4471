"""The question that a person answers before an agent's job is submitted; the protocol wants its form as a model."""

from pydantic import BaseModel, Field


class Confirmation(BaseModel):
    """What the person at the client fills in."""

    submit: bool = Field(description="Submit this job now?")
