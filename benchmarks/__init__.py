"""Benchmarks: what each stage costs, beside its peers. See README.md."""
