"""What an admin's form says about a tool, and what it looks like filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.errors import BadInput
from webapp.registry.rules import Approval

TEXTS = (
    "cls", "amount", "unit", "currency", "currency_is", "recipient", "kind", "time", "provider", "scopes", "placement",
)
LONGEST = 2000


@dataclass(frozen=True)
class ToolForm:
    """The fields as text, so that a form that was refused comes back as it was."""

    cls: str = "destroy"
    amount: str = ""
    unit: str = ""
    currency: str = ""
    currency_is: str = ""
    recipient: str = ""
    kind: str = "text"
    time: str = ""
    changes_recipients: bool = False
    outside: bool = False
    provider: str = ""
    scopes: str = ""
    placement: str = "authorization"

    @classmethod
    def sent(cls, form: Mapping[str, str]) -> ToolForm:
        given: dict[str, Any] = {name: form.get(name, "").strip()[:LONGEST] for name in TEXTS}
        given |= {name: form.get(name) == "yes" for name in ("changes_recipients", "outside")}
        return cls(**given)

    @classmethod
    def of(cls, approval: Approval) -> ToolForm:
        pointers = approval.pointers

        def part(fact: str, name: str, otherwise: str = "") -> str:
            return str(pointers.get(fact, {}).get(name, otherwise))

        return cls(
            cls=approval.cls, amount=part("amount", "pointer"), unit=part("amount", "unit"), currency=part("currency", "pointer"),
            currency_is=part("currency", "is"), recipient=part("recipient", "pointer"), kind=part("recipient", "kind", "text"),
            time=part("time", "pointer"), changes_recipients=approval.changes_recipients, provider=approval.provider,
            scopes=" ".join(approval.scopes), placement=approval.placement, outside=approval.outside,
        )

    def pointers(self) -> dict[str, dict[str, str]]:
        given: dict[str, dict[str, str]] = {}
        if self.amount:
            given["amount"] = {"pointer": self.amount, "unit": self.unit}
        if self.currency and self.currency_is:
            raise BadInput("The currency is either in the arguments or always the same, not both.")
        if self.currency:
            given["currency"] = {"pointer": self.currency}
        if self.currency_is:
            given["currency"] = {"is": self.currency_is.upper()}
        if self.recipient:
            given["recipient"] = {"pointer": self.recipient, "kind": self.kind or "text"}
        if self.time:
            given["time"] = {"pointer": self.time}
        return given

    def approval(self) -> Approval:
        """Raises BadInput, in words for the form."""
        return Approval(
            self.cls, self.pointers(), changes_recipients=self.changes_recipients, provider=self.provider,
            scopes=tuple(self.scopes.replace(",", " ").split()), placement=self.placement or "authorization",
            outside=self.outside,
        )
