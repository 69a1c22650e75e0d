"""Named shared-memory segments: where they lie, what is in them, who may write. Floor 2."""
