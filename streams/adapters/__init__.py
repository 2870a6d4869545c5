"""Everything that has a product's name or a wire; speaks ports, is named by the assembly alone."""
