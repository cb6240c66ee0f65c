"""What the numbers say: how long people take, what they regret, which rules are idle, and what other rules would have done."""
