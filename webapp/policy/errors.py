"""What a policy set can be refused for."""

from __future__ import annotations

from webapp.errors import CountersealError, Unavailable


class PolicyRefused(CountersealError):
    """The set does not load; the one that was active stays so. `hint` names file, rule and reason."""

    default = "policy_refused"


class PolicyDiffers(Unavailable):
    """This process holds another set than the active one: it decides nothing until it has loaded that one."""

    default = "policy_differs"
