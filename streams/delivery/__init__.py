"""How somebody is told: channels, targets, the sender of each target, the second way, the dead-man's switch."""
