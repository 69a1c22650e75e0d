"""What an OpenAlgo strategy sees: prices, quotes and books by the SDK (pip install openalgo).

    OPENALGO_API_KEY=... python examples/gateway/openalgo_client.py ws://127.0.0.1:8765 10

Nothing in it knows this pipeline: it runs against any OpenAlgo, too. `demo gateway` starts an
exchange and a gateway for it.
"""

import contextlib
import os
import sys
import threading
import time
from collections import Counter

LTP = [{"exchange": "NSE", "symbol": "INFY"}, {"exchange": "NSE_INDEX", "symbol": "NIFTY"}]
QUOTE = [{"exchange": "NSE", "symbol": "RELIANCE"}]
DEPTH = [{"exchange": "NSE", "symbol": "INFY"}]
SHOWN_EACH = 3


class Printer:
    """Prints the first few messages of each kind, and counts all of them."""

    def __init__(self):
        self.counts = Counter()
        self.lock = threading.Lock()  # the SDK calls back from a thread of its own

    def __call__(self, message):
        kind = {1: "LTP", 2: "Quote", 3: "Depth"}[message["mode"]]
        name = f"{message['exchange']}:{message['symbol']}"
        with self.lock:
            self.counts[kind, name] += 1
            if self.counts[kind, name] <= SHOWN_EACH:
                print(f"{kind:5} {name:15} {self.text(kind, message['data'])}", flush=True)

    @staticmethod
    def text(kind, data):
        if kind == "LTP":
            return f"{data['ltp']:>10,.2f}"
        if kind == "Quote":
            day = f"{data['low']:,.2f} to {data['high']:,.2f}"
            return f"{data['ltp']:>10,.2f}  {day}, volume {data['volume']:,}"
        best = [data["depth"][side][0] for side in ("buy", "sell")]
        book = " / ".join(f"{level['quantity']} at {level['price']:,.2f}" for level in best)
        return f"{data['ltp']:>10,.2f}  {book}"


def main(url, seconds):
    try:
        from openalgo import api
    except ModuleNotFoundError:
        sys.exit("this example needs OpenAlgo's SDK: pip install openalgo")
    client = api(api_key=os.environ["OPENALGO_API_KEY"], ws_url=url)
    if not client.connect():
        sys.exit(f"{url} did not let us in: is the gateway there, and the key good?")
    printer = Printer()
    client.subscribe_ltp(LTP, on_data_received=printer)
    client.subscribe_quote(QUOTE, on_data_received=printer)
    client.subscribe_depth(DEPTH, on_data_received=printer)
    with contextlib.suppress(KeyboardInterrupt):  # enough seen
        time.sleep(seconds)
    client.unsubscribe_ltp(LTP)
    client.unsubscribe_quote(QUOTE)
    client.unsubscribe_depth(DEPTH)
    client.disconnect()
    print()
    for (kind, name), count in sorted(printer.counts.items()):
        print(f"{kind:5} {name:15} {count:,} messages, {count / seconds:.1f} a second")
    if not printer.counts:
        sys.exit("nothing came: the server's log may say why (has it an instrument list?)")


if __name__ == "__main__":
    if len(sys.argv) < 2 or "OPENALGO_API_KEY" not in os.environ:
        sys.exit(f"usage: OPENALGO_API_KEY=... python {sys.argv[0]} ws://127.0.0.1:8765 [SECONDS]")
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
