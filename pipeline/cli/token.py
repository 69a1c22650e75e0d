"""`token login | set`: renew an account's access token. Floor 6.

Both write the file that the account's `access_token` names, in one step and with mode 0600, so
that a running instance takes it at its next look. Nothing secret is taken from the command line,
and nobody is ever asked for a password: people log in at their broker's own page.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.brokers.registry import load_broker
from pipeline.cli.configuration import read_config
from pipeline.cli.control import control_of
from pipeline.core.config import AccountConfig, Config
from pipeline.core.control import Act
from pipeline.core.errors import ConfigError, PipelineError, Problem, SecretError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.secrets import Secret, parse_reference, parse_secret, store
from pipeline.rest.accounts import open_governor, open_rest

command = typer.Typer(no_args_is_help=True)

Account = Annotated[
    str | None,
    typer.Option(
        "--account", "-a", metavar="NAME", help="the [\\[account]]; if absent the only one"
    ),
]
File = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="the config file")]


class BadUsage(PipelineError):
    """What was typed or pasted cannot be used."""

    exit_code = ExitCode.USAGE


Rolling = Annotated[
    bool,
    typer.Option("--rolling", help="and replace the account's connections that run, one by one"),
]


@command.command()
def login(config: File, account: Account = None, rolling: Rolling = False) -> None:
    """Log in at the broker: prints the address, takes what it leads to, stores the day's token.

    After the login the browser is led to an address with request_token=... in it: paste all of it.
    The API secret comes from the account's api_secret, else it is asked for.
    """
    found = read_config(config)
    chosen = _account(found, account)
    path = token_file(found, chosen)
    rest = open_rest(found, chosen, open_governor(found, chosen.broker))
    with rest:
        print(f"1. Log in here: {rest.login_address()}", file=sys.stderr)
        print("2. Paste the address that it leads to, or its request token:", file=sys.stderr)
        request_token = _request_token(chosen)
        session = rest.log_in(request_token, _api_secret(found, chosen))
    _store(path, session.access_token)
    who = f" as {session.user_id}" if session.user_id else ""
    print(f"account {chosen.name}: logged in{who}; the token is in {path}, until tomorrow morning")
    if rolling:
        _roll(found, chosen)


@command.command("set")
def set_token(config: File, account: Account = None, rolling: Rolling = False) -> None:
    """Store an access token that you have: from a prompt without echo, or from stdin."""
    found = read_config(config)
    chosen = _account(found, account)
    path = token_file(found, chosen)
    token = _ask(f"Access token of account {chosen.name}", "an access token", hidden=True)
    _store(path, token)
    print(f"account {chosen.name}: the token is in {path}; a running instance takes it by itself")
    if rolling:
        _roll(found, chosen)


def _roll(config: Config, account: AccountConfig) -> None:
    """Have the pool that runs use the new token now: else it does with its next connections."""
    root = Path(config.instance.shm_directory)
    with control_of(config.instance.name, root) as control:
        print(control.request(Act(action="recycle", account=account.name))["text"])


def token_file(config: Config, account: AccountConfig) -> Path:
    """Return the file that an account's token is in; ConfigError when it is in none."""
    reference = None if account.access_token is None else config.secret(account)
    if reference is None or reference.scheme != "file":
        found = "nothing" if reference is None else f"{reference.scheme}:"
        number = config.accounts.index(account)
        hint = "only a file can be renewed while an instance runs"
        allowed = 'a file to write to: access_token = "file:kite-token"'
        problem = Problem(f"account[{number}].access_token", found, allowed, hint)
        raise ConfigError(config.source, [problem])
    return Path(reference.location)


def _account(config: Config, name: str | None) -> AccountConfig:
    names = [account.name for account in config.accounts]
    if name is None and len(names) == 1:
        return config.accounts[0]
    if name not in names:
        found = "no --account" if name is None else f"--account {name}"
        raise BadUsage(f"{found}: expected one of {', '.join(names)}")
    return config.account(name)


def _request_token(account: AccountConfig) -> Secret:
    text = _ask("Address or request token", "the address that the login led to", hidden=False)
    try:
        return Secret(load_broker(account.broker).rest.request_token(text.reveal()))
    except ValueError as error:
        raise BadUsage(str(error)) from None


def _api_secret(config: Config, account: AccountConfig) -> Secret:
    if account.api_secret is not None:
        return parse_reference(account.api_secret, config.folder).read().secret
    return _ask(f"API secret of account {account.name}", "the API secret", hidden=True)


def _ask(prompt: str, what: str, *, hidden: bool) -> Secret:
    """Return a line from a person or, where stdin is no terminal, the next line of stdin."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
    elif hidden:
        line = getpass.getpass(f"{prompt}: ")
    else:
        line = input(f"{prompt}: ")
    if not line.strip():
        raise BadUsage(f"expected {what} on stdin, and there was none")
    return parse_secret(line.encode(), what)


def _store(path: Path, token: Secret) -> None:
    try:
        store(path, token)
    except OSError as error:
        raise SecretError(
            f"{path} cannot be written ({error.strerror}): is its folder there, and yours?"
        ) from None
