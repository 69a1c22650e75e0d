"""Market data from brokers' WebSocket feeds, as numpy arrays, across processes."""
