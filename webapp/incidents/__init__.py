"""Suspected compromise: one action that stops a person, client, server, account or provider in every room, and says what was at
stake."""
