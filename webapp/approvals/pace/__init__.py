"""How people decide: reports that pause an agent, how fast somebody approves, and what that says about the approvals."""
