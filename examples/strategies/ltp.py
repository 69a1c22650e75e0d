"""Print the last price of every tick: python examples/strategies/ltp.py [INSTANCE]"""

import sys

import pipeline

try:
    with pipeline.attach(sys.argv[1] if len(sys.argv) > 1 else "demo", wait_s=2) as market:
        for ticks in market.batches():  # a structured array; all connections merged
            for token, price in zip(ticks["instrument_token"], ticks["last_price"], strict=True):
                print(f"{token:>10} {price:>12.2f}", flush=True)
except pipeline.PipelineError as error:  # there is none of that name, or it has ended
    sys.exit(str(error))
except KeyboardInterrupt:
    pass
