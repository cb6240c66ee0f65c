"""The web app: approvals, connections, the gateway and everything people see."""
