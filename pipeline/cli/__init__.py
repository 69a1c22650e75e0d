"""Floor 6: what people type. One file per command, each imported only when it is called."""
