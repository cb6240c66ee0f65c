"""The users' room: connect accounts, look at what may be done with them and what was done, take them back."""
