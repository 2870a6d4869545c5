"""What tests share: iv3 run inside a test or as a real process, the world outside it, and what must hold whatever was
killed.
"""
