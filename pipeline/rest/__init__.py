"""A broker's REST, every call of it behind one rate governor. Floor 3."""
