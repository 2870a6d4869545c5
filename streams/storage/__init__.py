"""What several rooms ask of the disk: durable files and locks, a SQLite connection, which version of a derived file is
current.
"""
