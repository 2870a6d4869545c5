"""Mutation testing: cosmic-ray's operators break one thing at a time in `processors`, and some unit test must
notice.
"""
