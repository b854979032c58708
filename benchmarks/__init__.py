"""Benchmarks; each module prints ratios within one run."""
