"""OpenAlgo's names for instruments, made from a broker's row. Floor 2; pure.

Wire facts: OpenAlgo documentation, "Symbol format". A derivative is its underlying's name, the
expiry as 28NOV24, then FUT, or the strike and CE or PE; indices have exchanges of their own and
names without blanks.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from pipeline.core.forms import short_day, strike_text
from pipeline.core.instrument import FUTURE, OPTION_TYPES, Instrument

_INDEX_EXCHANGES: Final = {
    "NSE": "NSE_INDEX",
    "BSE": "BSE_INDEX",
    "MCX": "MCX_INDEX",
    "CDS": "CDS_INDEX",
    "NSEIX": "GLOBAL_INDEX",
}
#: The spot exchange, and the one of its indices, for each exchange of derivatives.
SPOT_EXCHANGES: Final = {"NFO": ("NSE_INDEX", "NSE"), "BFO": ("BSE_INDEX", "BSE")}

#: {exchange: {the broker's name without blanks: OpenAlgo's}}, where they differ otherwise.
_INDEX_NAMES: Final = {
    "NSE_INDEX": {
        "NIFTY50": "NIFTY",
        "NIFTYBANK": "BANKNIFTY",
        "NIFTYFINSERVICE": "FINNIFTY",
        "NIFTYNEXT50": "NIFTYNXT50",
        "NIFTYMIDSELECT": "MIDCPNIFTY",
        "NIFTYMIDCAPSELECT": "MIDCPNIFTY",
    },
    "BSE_INDEX": {"SENSEX": "SENSEX", "BANKEX": "BANKEX", "SNSX50": "SENSEX50"},
}


def openalgo_key(instrument: Instrument) -> str:
    """Return OpenAlgo's `EXCHANGE:SYMBOL` of a row; the same as its key where they agree."""
    if instrument.is_index:
        return _index_key(instrument)
    if instrument.expiry and instrument.name:
        start = f"{instrument.exchange}:{instrument.name}"
        day = short_day(date.fromisoformat(instrument.expiry))
        if instrument.instrument_type == FUTURE:
            return f"{start}{day}{FUTURE}"
        if instrument.instrument_type in OPTION_TYPES:
            return f"{start}{day}{strike_text(instrument.strike)}{instrument.instrument_type}"
    return instrument.key


def openalgo_exchange(instrument: Instrument) -> str:
    """Return OpenAlgo's exchange of a row, which tells indices from the rest."""
    if instrument.is_index:
        return _INDEX_EXCHANGES.get(instrument.exchange, instrument.exchange)
    return instrument.exchange


def _index_key(instrument: Instrument) -> str:
    exchange = openalgo_exchange(instrument)
    plain = instrument.tradingsymbol.upper().replace(" ", "").replace("-", "")
    name = _INDEX_NAMES.get(exchange, {}).get(plain)
    if name is None and exchange == "BSE_INDEX" and not plain.startswith("BSE"):
        name = f"BSE{plain}"
    return f"{exchange}:{name or plain}"
