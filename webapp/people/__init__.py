"""Who is here: signing in, the second step, sessions, and who may see which page."""
