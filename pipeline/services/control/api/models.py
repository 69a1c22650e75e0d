"""The bodies of requests, as the OpenAPI document tells them. Floor 4.

What they mean is checked where it is done (`commands`): here are shapes and bounds only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from pipeline.core.control import INSTRUMENTS_MAX

Instrument = (
    Annotated[StrictInt, Field(ge=1, le=2**32 - 1)]
    | Annotated[StrictStr, Field(min_length=1, max_length=200)]
)
Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Number = Annotated[StrictInt, Field(ge=0, le=65_535)]


class Body(BaseModel):
    """What all have: unknown keys are refused. `owner`: of whose accounts, if they have several."""

    model_config = ConfigDict(extra="forbid")
    owner: Name | None = None


class InstrumentsBody(Body):
    """Instruments, by token or name, and whose demand they belong to."""

    client: Name = "api"
    instruments: Annotated[list[Instrument], Field(min_length=1, max_length=INSTRUMENTS_MAX)]


class ModeBody(InstrumentsBody):
    """Another mode for what a client wants."""

    mode: StrictStr = "quote"


class SubscribeBody(ModeBody):
    """More that a client wants. `partial`: take what there is room for. `follow`: forms with `atm`
    move with their underlying."""

    partial: bool = False
    follow: bool = False
    priority: StrictStr = "warm"
    account: StrictStr | None = None
    connection: Number | None = None
    group: Annotated[StrictStr, Field(max_length=64)] | None = None


class ActBody(Body):
    """What to do it to: `connection` is one by number, `connections` how many there shall be at
    least, or "auto" for as many as are needed; `account`: recycle all of its connections."""

    connection: Number | None = None
    connections: Number | Literal["auto"] | None = None
    account: Annotated[StrictStr, Field(max_length=64)] | None = None
    dry_run: bool = False


class TokenBody(BaseModel):
    """An account's new access token. `rolling`: have its connections use it at once, by replacing
    one after the other."""

    model_config = ConfigDict(extra="forbid")
    access_token: Annotated[StrictStr, Field(min_length=1, max_length=4096, pattern=r"^[!-~]+$")]
    rolling: bool = False
