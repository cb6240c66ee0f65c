"""Our authorization server, on Authlib: one file per RFC."""
