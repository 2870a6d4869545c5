"""Verbs and their options, declared; imports nothing heavy."""
