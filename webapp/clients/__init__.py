"""OAuth clients of ours: who registered, what they say they are, and whether they may still come in."""
