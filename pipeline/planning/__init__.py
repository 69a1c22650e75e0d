"""Floor 2: pure decisions. Time and randomness are passed in; nothing is read or written."""
