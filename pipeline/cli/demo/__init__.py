"""The command `demo`. Nothing is imported here: `options` is run before anything is installed."""
