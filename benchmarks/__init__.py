"""Figures: measured against the raw libraries in the same run, for machines differ and so do their moods. `python -m
benchmarks [name ...]`.
"""
