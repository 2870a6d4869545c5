"""Stand-ins of servers that no package registry has."""
