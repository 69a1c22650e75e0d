"""Floor 3: the process that holds one connection. No packets are decoded here, and no numpy."""
