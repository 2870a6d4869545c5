"""Another log made of this one: copied, split finer, without a person."""
