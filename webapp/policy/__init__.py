"""Cedar: rules and holds over typed facts. Takes facts as values and reads no other room's tables."""
