"""Insulin and carbs at work, with their formulas' source."""
