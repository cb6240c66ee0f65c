"""Just-in-time tokens: who got which token for which action until when, and ending them."""
