"""The archive as work: write, verify, restore, merge, forget, drill; never a vendor's name."""
