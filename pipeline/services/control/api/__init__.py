"""The control process over HTTP, for whoever has its token; the extra `[api]`. Floor 4."""
