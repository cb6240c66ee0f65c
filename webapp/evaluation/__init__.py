"""The bundled bank, identity provider, agent and people of an evaluation instance. Never part of another composition."""
