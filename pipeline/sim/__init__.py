"""The simulated exchange: Kite's streaming protocol and REST for made-up instruments. Floor 4.

Brokers offer no sandbox, so this is what demos, tests and benchmarks run against. It shares no
code, table or constant with the decoders; it uses the facts of the wire documents on its own.
Importing this package imports nothing else.
"""
