"""Each secret's age, who replaces it and when; and having it replaced now."""
