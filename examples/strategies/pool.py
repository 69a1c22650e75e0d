"""Subscribe to what interests us, with handlers: python examples/strategies/pool.py [INSTANCE]"""

import asyncio
import sys

import pipeline

TOKENS = [408065, 884737, 738561, 256265]


def on_ticks(account, ticks):
    """Print the last prices; `ticks` holds our instruments only, of one connection."""
    for token, price in zip(ticks["instrument_token"], ticks["last_price"], strict=True):
        print(f"{account:>10} {token:>10} {price:>12.2f}", flush=True)


def on_error(account, error):
    """Say what is amiss: an interruption, a rejected token, the instance's end."""
    print(f"{account}: {error}", file=sys.stderr)


async def main(instance):
    async with pipeline.PoolClient(instance, mode="full", wait_s=2) as client:
        await client.subscribe_tokens(TOKENS, on_ticks, on_error)
        await client.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "demo-pool"))
    except pipeline.PipelineError as error:  # none of that name, no pool, or no room
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
