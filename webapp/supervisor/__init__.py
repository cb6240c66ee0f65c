"""`counterseal up`: everything on one machine. A plain process, not monkey-patched, that starts the others and keeps them."""
