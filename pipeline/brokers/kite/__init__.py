"""Zerodha's Kite Connect v3 streaming feed. Floor 2."""

from __future__ import annotations

from typing import Final

from ext.decode import decode_frame_kite
from pipeline.brokers.contract import Broker
from pipeline.brokers.kite import wire
from pipeline.brokers.kite.limits import LIMITS, REST_LIMITS
from pipeline.brokers.kite.rest import KiteRest
from pipeline.brokers.kite.session import ENDPOINT, KiteSession
from pipeline.brokers.kite.symbols import read_instruments
from pipeline.brokers.kite.views import packet_views
from pipeline.core.enums import Broker as BrokerCode

BROKER: Final = Broker(
    name="kite",
    code=BrokerCode.KITE,
    endpoint=ENDPOINT,
    limits=LIMITS,
    rest_limits=REST_LIMITS,
    session=KiteSession(),
    rest=KiteRest(),
    read_instruments=read_instruments,
    decode_frame=decode_frame_kite,
    reference_decode=wire.decode_frame,
    packet_views=packet_views,
)
