"""The keeper: its own process, and the only code that sees a credential or talks to Vault."""
