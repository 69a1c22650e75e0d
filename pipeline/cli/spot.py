"""What an underlying costs before anything streams: asked of the broker. Floor 6."""

from __future__ import annotations

from contextlib import ExitStack

from pipeline.core.config import SIMULATOR_URL, AccountConfig, Config
from pipeline.core.errors import PipelineError
from pipeline.instruments.lookup import shared
from pipeline.rest.accounts import open_governor, open_rest
from pipeline.rest.client import RestClient


class StartingPrices:
    """Last prices at the start of an instance, for `atm` in its config: {token -> rupees}.

    The first account is asked, only if there is an `atm` at all; the exchange of [simulator] does
    not run yet, so its made-up list has the prices. What cannot be had is told in `warnings`, and
    the list's own price of the day before is taken.
    """

    def __init__(self, config: Config, warnings: list[str]) -> None:
        self._config = config
        self._warnings = warnings
        self._names = shared(config.instruments_file)
        self._found: dict[int, float | None] = {}
        self._open = ExitStack()
        self._rest: RestClient | None = None

    def __call__(self, token: int) -> float | None:
        if token not in self._found:
            instrument = self._names.find(token)
            self._found[token] = self._ask(instrument.key) or instrument.last_price
        return self._found[token]

    def close(self) -> None:
        """Close the connection to the broker, if there is one."""
        self._open.close()

    def _ask(self, key: str) -> float | None:
        account = self._account()
        if account is None:
            return None
        try:
            if self._rest is None:
                client = open_rest(self._config, account, open_governor(self._config))
                self._rest = self._open.enter_context(client)
            return float(self._rest.ltp([key])[key]["last_price"])
        except (PipelineError, KeyError) as error:
            why = error if isinstance(error, PipelineError) else "the broker does not know it"
            self._warnings.append(f"the price of {key}, for atm, is the instrument list's: {why}")
            return None

    def _account(self) -> AccountConfig | None:
        asked = [a for a in self._config.accounts if a.url != SIMULATOR_URL or a.rest_url]
        return asked[0] if asked else None
