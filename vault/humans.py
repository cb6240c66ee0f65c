"""Which sign-ins are one human: everywhere that people are counted or kept out, this is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def humans(links: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """By sign-in: all sign-ins of the same human, itself among them. A link counts both ways and over others: more links can only
    make fewer humans."""
    found: dict[str, frozenset[str]] = {}
    for person, others in links.items():
        together = frozenset({person, *others})
        for one in tuple(together):
            together |= found.get(one, frozenset())
        for one in together:
            found[one] = together
    return found
