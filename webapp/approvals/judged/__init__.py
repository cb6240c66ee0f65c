"""What policy was asked about each call, kept for a while so that other rules can be tried on it."""
