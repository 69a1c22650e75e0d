"""Floor 5: the one package that starts processes, watches them and ends them."""
