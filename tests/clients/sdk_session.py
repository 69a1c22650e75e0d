"""Run by a Python that has PyPI's openalgo: its client, called by lines of JSON. Not a test.

In: ["subscribe_ltp", [{"exchange": "NSE", "symbol": "INFY"}]], or with arguments by name
["quotes", {"symbol": "INFY", "exchange": "NSE"}]. Out: ["answer", true], and what the callbacks
get: ["ltp", {...}].
"""

import json
import os
import sys
import threading

from openalgo import api

lock = threading.Lock()


def tell(kind, value):
    with lock:
        print(json.dumps([kind, value]), flush=True)


def main():
    client = api(
        api_key=os.environ["OPENALGO_API_KEY"],
        host=os.environ.get("OPENALGO_HOST", "http://127.0.0.1:1"),
        ws_url=os.environ["OPENALGO_URL"],
    )
    callbacks = {
        f"subscribe_{kind}": lambda message, kind=kind: tell(kind, message)
        for kind in ("ltp", "quote", "depth")
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        options = {"on_data_received": callbacks[name]} if name in callbacks else {}
        if arguments and isinstance(arguments[0], dict):
            options = arguments.pop(0)  # what the HTTP half takes by name
        if name == "subscribe_orders":
            options = {"on_order_update": lambda message: tell("order", message)}
        answer = getattr(client, name)(*arguments, **options)
        tell("answer", answer.to_dict("records") if hasattr(answer, "to_dict") else answer)
    client.disconnect()


main()
