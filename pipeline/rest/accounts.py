"""From a config to a governor and to each account's client. Floor 3."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.brokers.registry import load_broker
from pipeline.core.config import SIMULATOR_URL, AccountConfig, Config
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.secrets import Secret
from pipeline.rest.client import RestClient
from pipeline.rest.governor import Governor


def open_governor(config: Config, broker: str = "kite") -> Governor:
    """Return the one governor of a config's calls to a broker; ConfigError for a bad file."""
    own = config.broker_rest.limits_file
    path = None if own is None else config.path(own)
    return Governor(load_broker(broker).rest_limits, limits_file=path)


def open_rest(config: Config, account: AccountConfig, governor: Governor) -> RestClient:
    """Return an account's client; its token is read when it is called. ConfigError as below."""

    def token() -> Secret:
        return config.secret(account).read().secret

    ca_file = account.ca_file
    if ca_file is None and account.url == SIMULATOR_URL and config.simulator is not None:
        ca_file = config.simulator.tls_certificate
    return RestClient(
        load_broker(account.broker),
        governor,
        api_key=account.api_key,
        user=account.user,
        token=token,
        endpoint=rest_endpoint(config, account),
        timeout_s=config.broker_rest.timeout_s,
        ca_file=None if ca_file is None else str(config.path(ca_file)),
    )


def rest_endpoint(config: Config, account: AccountConfig) -> str:
    """Return where an account's REST is: `rest_url`, the simulated exchange, or the broker's own.

    Raises ConfigError when the exchange's port is known to a running instance only.
    """
    if account.rest_url is not None:
        return account.rest_url.rstrip("/")
    if account.url == SIMULATOR_URL:
        if config.simulator is None or not config.simulator.port:
            hint = "or give the account a rest_url"
            problem = Problem("simulator.port", "0: any free one", "a port of its own", hint)
            raise ConfigError(config.source, [problem])
        is_tls = config.simulator.tls_certificate is not None
        address = "https://localhost" if is_tls else "http://127.0.0.1"
        return f"{address}:{config.simulator.port}"
    if account.simulated:
        parts = urlsplit(account.url)
        return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"
    return load_broker(account.broker).rest.endpoint
