"""The instruments that a config names, found in the list. Floor 2.

A config is read without looking at any list: this turns its names into tokens at the start, and
says everything that is unknown at once.
"""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Final

from pipeline.core.config import Config, PoolConfig, SubscriptionConfig
from pipeline.core.config.checks import check_places
from pipeline.core.config.fields import shorten
from pipeline.core.errors import BadInstruments, ConfigError, NoInstruments, Problem
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.resolving import Resolved, SpotPrice
from pipeline.instruments.store import age_warning, default_file

_LISTED: Final = "an instrument of the list"


def resolve_config(
    config: Config,
    *,
    spot: SpotPrice | None = None,
    today: date | None = None,
    warnings: list[str] | None = None,
) -> Config:
    """Return the config with the tokens of every name in its [[subscription]] tables.

    Opens the list only if there is a name. spot: as in Catalogue.resolve. An old list is told in
    `warnings`. Raises ConfigError with everything that is unknown, listed twice or without room.
    """
    named = _keys_with_names(config)
    if not named:
        return config
    try:
        catalogue = load(config.instruments_file or default_file())
    except (NoInstruments, BadInstruments) as error:
        path = named[0]
        problem = Problem(path, "names of instruments", "a list to look them up", str(error))
        raise ConfigError(config.source, [problem]) from None
    warning = age_warning(catalogue.info, today)
    if warning and warnings is not None:
        warnings.append(warning)
    problems: list[Problem] = []
    resolved = dataclasses.replace(
        config,
        subscriptions=tuple(
            _with_tokens(catalogue, found, number, problems, spot, today) if found.forms else found
            for number, found in enumerate(config.subscriptions)
        ),
        pool=_with_mirrored(catalogue, config.pool, problems, spot, today),
    )
    problems += check_places(resolved)
    if problems:
        raise ConfigError(config.source, problems)
    return resolved


def _with_tokens(
    catalogue: Catalogue,
    subscription: SubscriptionConfig,
    number: int,
    problems: list[Problem],
    spot: SpotPrice | None,
    today: date | None,
) -> SubscriptionConfig:
    # A token is taken as it is: the list may be old, or of another broker's.
    named = [form for form in subscription.forms if isinstance(form, str)]
    found = catalogue.resolve(named, spot=spot, today=today)
    path = f"subscription[{number}].{_key(subscription)}"
    problems += _unknown(found, path)
    problems += _repeated(subscription.forms, found, path)
    return dataclasses.replace(
        subscription, tokens=tuple(dict.fromkeys(found.in_order(subscription.forms))), forms=()
    )


def _keys_with_names(config: Config) -> list[str]:
    """Return the paths of the keys that name instruments."""
    named = [
        f"subscription[{number}].{_key(found)}"
        for number, found in enumerate(config.subscriptions)
        if found.forms
    ]
    is_named = config.pool is not None and config.pool.mirror_names
    return [*named, "pool.mirror"] if is_named else named


def _with_mirrored(
    catalogue: Catalogue,
    pool: PoolConfig | None,
    problems: list[Problem],
    spot: SpotPrice | None,
    today: date | None,
) -> PoolConfig | None:
    """Return a pool with the tokens of what it mirrors; to name one twice is no mistake there."""
    if pool is None or not pool.mirror_names:
        return pool
    found = catalogue.resolve(list(pool.mirror_names), spot=spot, today=today)
    problems += _unknown(found, "pool.mirror")
    return dataclasses.replace(
        pool, mirror_tokens=tuple(dict.fromkeys(found.in_order(pool.mirror)))
    )


def _unknown(found: Resolved, path: str) -> list[Problem]:
    return [
        Problem(
            path,
            f"{shorten(unknown.form)}, {unknown.reason}",
            _LISTED,
            f"did you mean {', '.join(unknown.near)}?" if unknown.near else "",
        )
        for unknown in found.unknown
    ]


def _key(subscription: SubscriptionConfig) -> str:
    return "instruments" if subscription.file is None else "file"


def _repeated(forms: tuple[int | str, ...], found: Resolved, path: str) -> list[Problem]:
    """Return a problem for each instrument that is named twice; expansions may overlap."""
    names: dict[int, list[str]] = {}
    for form in forms:
        token = found.single.get(form) if isinstance(form, str) else form
        if token is not None:
            names.setdefault(token, []).append(str(form))
    return [
        Problem(path, f"{' and '.join(given)}, which are one", "each instrument once")
        for given in names.values()
        if len(given) > 1
    ]
