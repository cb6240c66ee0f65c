"""Decoys: held calls that nobody asked for. Who decides on one is told at once; nothing of it ever runs (`vault.marks`)."""
