"""A KiteTicker script, with the import changed: python kite_ticker.py [ROOT API_KEY TOKEN]

Without arguments it wants the exchange of `python -m pipeline sim --port 8765`.
"""

import sys

from pipeline.kite import KiteTicker

root, api_key, access_token = sys.argv[1:] or ["ws://127.0.0.1:8765", "demo", "demo"]
kws = KiteTicker(api_key, access_token, root=root)


def on_connect(ws, response):
    ws.subscribe([408065, 738561])
    ws.set_mode(ws.MODE_FULL, [408065])


def on_ticks(ws, ticks):
    for tick in ticks:
        print(tick["instrument_token"], tick["mode"], tick["last_price"], flush=True)


def on_close(ws, code, reason):
    print(f"closed: {code} {reason}", file=sys.stderr)


kws.on_connect = on_connect
kws.on_ticks = on_ticks
kws.on_close = on_close
kws.connect()  # until Ctrl-C
