"""Programs that scenarios start: the peers' processes, and ours built like theirs."""
