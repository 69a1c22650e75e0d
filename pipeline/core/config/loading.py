"""Read a config file, check everything, and return it frozen or raise all problems. Floor 1."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import presets
from pipeline.core.config.checks import check
from pipeline.core.config.entries import check_entry
from pipeline.core.config.fields import InstrumentForm, Refused, shorten
from pipeline.core.config.market import SubscriptionConfig
from pipeline.core.config.reading import read_section
from pipeline.core.config.sections import Config
from pipeline.core.errors import ConfigError, Problem, SecretError
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX, simulated_tokens

_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_CONFIG_BYTES_MAX: Final = 4 * 2**20
_LINES_SHOWN_MAX: Final = 5
_COMMENT: Final = re.compile("(?<!:)#")


def load(path: Path, *, limits: Mapping[str, BrokerLimits], read_secrets: bool = True) -> Config:
    """Return the checked config of a file; raise ConfigError with every problem in it.

    `limits` holds each broker's numbers. Unless `read_secrets` is false, each secret is read
    once, so that a missing token is found before anything starts, and so is the source of each
    strategy.
    """
    return parse(
        read_text(path), source=str(path), folder=path.parent, limits=limits,
        read_secrets=read_secrets,
    )  # fmt: skip


def read_text(path: Path) -> str:
    """Return the text of a file; raise ConfigError when it cannot be read or is no text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem("file", str(error.strerror), "a readable file", "is the path right?")
        raise ConfigError(str(path), [problem]) from None
    return _decode(str(path), content)


def parse(
    text: str,
    *,
    limits: Mapping[str, BrokerLimits],
    source: str = "(text)",
    folder: Path = Path(),
    read_secrets: bool = True,
    preset: str | None = None,
) -> Config:
    """Return the checked config of a TOML text, as `load` does.

    preset: the name of the one that fills in what the text leaves open.
    """
    table = read_table(text, source)
    if preset is not None:
        table = presets.merge(presets.preset(preset), table)
        if "connection" in table:
            raise ConfigError(source, [_not_a_pool(preset)])
    problems: list[Problem] = []
    raw: Config = read_section(Config, table, "", problems)
    folder = folder.absolute()
    config = dataclasses.replace(
        raw,
        source=source,
        folder=folder,
        subscriptions=tuple(
            _with_tokens(subscription, number, folder, problems)
            for number, subscription in enumerate(raw.subscriptions)
        ),
    )
    config = _with_limits(config, limits)
    problems += check(config, limits)
    problems += _unreadable(config, read_secrets=read_secrets)
    for number, strategy in enumerate(config.strategies):
        if strategy.entry is not None and read_secrets:
            problems += check_entry(strategy, f"strategy[{number}]", folder)
    if problems:
        raise ConfigError(source, problems)
    return config


def read_table(text: str, source: str) -> dict[str, Any]:
    """Return what a TOML text says, unchecked; raise ConfigError when it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or numbers beyond reason
        problem = Problem("file", f"{error}", "TOML", "values of type text need quotes")
        raise ConfigError(source, [problem]) from None


def _not_a_pool(preset: str) -> Problem:
    allowed = f"no [[connection]] with the preset {preset}, which makes it a [pool]"
    hint = "remove them, and `connection` from each [[subscription]]; or start without the preset"
    return Problem("connection", "tables of connections", allowed, hint)


def _with_limits(config: Config, limits: Mapping[str, BrokerLimits]) -> Config:
    """Return the config with the brokers' numbers where `[pool]` leaves them open."""
    found = [limits[account.broker] for account in config.accounts if account.broker in limits]
    pool = config.pool
    if pool is None or not found:
        return config
    connections = pool.connections_per_key
    if connections is None:
        connections = min(limit.connections_per_key for limit in found)
    instruments = pool.instruments_per_connection
    if instruments is None:
        instruments = min(limit.instruments_per_connection for limit in found)
    chosen = dataclasses.replace(
        pool, connections_per_key=connections, instruments_per_connection=instruments,
        mirror_tokens=tuple(form for form in pool.mirror if isinstance(form, int)),
    )  # fmt: skip
    return dataclasses.replace(config, pool=chosen)


def _decode(source: str, content: bytes) -> str:
    if content[:2] in _UTF16_BOMS:
        found, offset = "UTF-16", 0
    elif len(content) > _CONFIG_BYTES_MAX:
        found, offset = f"{len(content)} bytes", 0
    else:
        try:
            return content.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            found, offset = f"the byte 0x{content[error.start]:02x}", error.start
    line = content[:offset].count(b"\n") + 1
    allowed = f"UTF-8 text of at most {_CONFIG_BYTES_MAX} bytes"
    raise ConfigError(source, [Problem(f"line {line}", found, allowed, "save it as UTF-8")])


def _with_tokens(
    subscription: SubscriptionConfig, number: int, folder: Path, problems: list[Problem]
) -> SubscriptionConfig:
    forms: tuple[int | str, ...] = subscription.instruments or ()
    simulated = subscription.simulated
    if subscription.file is not None:
        path = folder / subscription.file
        forms = _read_forms(path, f"subscription[{number}].file", problems)
    elif simulated is not None and simulated.count is not None:
        count = min(simulated.count, SIMULATED_INSTRUMENTS_MAX - simulated.first)
        forms = simulated_tokens(simulated.first, count)
    tokens = tuple(form for form in forms if isinstance(form, int))
    names = forms if len(tokens) < len(forms) else ()
    return dataclasses.replace(subscription, tokens=tokens, forms=names)


def _read_forms(path: Path, key: str, problems: list[Problem]) -> tuple[int | str, ...]:
    """Read an instrument on each line; blank lines and comments are passed over.

    A comment begins with a #, except after a colon: NSE:#1594 is an instrument.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        problems.append(Problem(key, f"{path}: {error.strerror}", "a readable file"))
        return ()
    except UnicodeDecodeError:
        problems.append(
            Problem(key, f"{path}: not UTF-8", "a text file, an instrument on each line")
        )
        return ()
    forms: list[int | str] = []
    wrong: list[str] = []
    kind = InstrumentForm()
    for number, line in enumerate(lines, 1):
        word = _COMMENT.split(line, maxsplit=1)[0].strip()
        if word:
            try:
                forms.append(kind.read(word))
            except Refused:
                wrong.append(f"line {number}: {shorten(word, 20)}")
    if wrong:
        more = len(wrong) - _LINES_SHOWN_MAX
        found = ", ".join(wrong[:_LINES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
        problems.append(Problem(key, found, kind.allowed))
    elif not forms:
        problems.append(Problem(key, f"{path}: no instrument", "at least one"))
    return tuple(forms)


def _unreadable(config: Config, *, read_secrets: bool) -> list[Problem]:
    """Return a problem for each file that the config names and nobody can read."""
    problems = []
    files = {
        f"simulator.{name}": config.simulator and getattr(config.simulator, name)
        for name in ("faults", "tls_certificate", "tls_key")
    }
    for number, account in enumerate(config.accounts):
        files[f"account[{number}].ca_file"] = account.ca_file
        if read_secrets and account.access_token is not None:
            try:
                config.secret(account).read()
            except SecretError as error:
                key = f"account[{number}].access_token"
                problems.append(Problem(key, account.access_token, "a token there", str(error)))
    truth = config.simulator.truth if config.simulator else None
    if truth and not config.path(truth).parent.is_dir():
        found = f"{truth}: no such folder"
        problems.append(Problem("simulator.truth", found, "a path in a folder that exists"))
    for key, name in files.items():
        if name and not config.path(name).is_file():
            problems.append(Problem(key, f"{name}: no such file", "a readable file"))
    if not problems:
        problems += _useless_certificate(config)
    return problems


def _useless_certificate(config: Config) -> list[Problem]:
    import ssl  # no other part of a config needs it

    simulator = config.simulator
    if simulator is None or simulator.tls_certificate is None or simulator.tls_key is None:
        return []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase fails rather than having one asked for on the terminal.
        context.load_cert_chain(
            config.path(simulator.tls_certificate), config.path(simulator.tls_key), password=""
        )
    except OSError as error:
        why = f"{error}".partition(" (_ssl")[0]  # what follows is a line of OpenSSL's binding
        found = f"{simulator.tls_certificate} with {simulator.tls_key}: {why}"
        allowed = "a certificate and its key in PEM, the key without a passphrase"
        return [Problem("simulator.tls_certificate", found, allowed)]
    return []
