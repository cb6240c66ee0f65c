"""Due rows claimed and worked off."""
