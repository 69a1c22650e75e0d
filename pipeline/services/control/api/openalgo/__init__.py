"""OpenAlgo's HTTP beside the WebSocket gateway: what its clients ask of the same address. Floor 4.

Wire facts: OpenAlgo documentation, "API" (quotes, multiquotes, depth, history, intervals, symbol,
search, expiry, ping), and what its own page asks for before it connects. Only what the newest
ticks and the instrument list can answer.
"""
