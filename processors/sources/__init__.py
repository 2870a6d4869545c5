"""What a source's answer means, when it is asked again, what is known of an account."""
