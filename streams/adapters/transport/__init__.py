"""Faust drivers; the only folder that touches Faust's inside."""
