"""Telling people that something waits for them, where they are: by chat, mail and push. Nothing here decides anything."""
