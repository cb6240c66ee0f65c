"""Just-in-time tokens of people's connected accounts, from Counterseal, for MCP servers and other programs.

    broker = Broker("https://seal.example", Key("client_…", Path("key.json")))
    token = broker.token(subject_token, "github", ["repo:status"])
"""

from justintime.broker import Away, Broker, NeedsPerson, Pending, Refused, Token
from justintime.proofs import Certificate, Key, Proof

__all__ = ["Away", "Broker", "Certificate", "Key", "NeedsPerson", "Pending", "Proof", "Refused", "Token"]
