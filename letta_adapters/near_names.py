"""Names that are not known, and which ones were probably meant. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["check_names", "near_name"]

_MEANT = {
    "max_iterations": ("max_tool_rounds",),
    "max_turns": ("max_tool_rounds",),
    "model": ("override_model",),
    "system": ("override_system",),
    "system_prompt": ("override_system", "system"),
}
"""What other packages call things, and what they are called here."""

_NEAR = 0.75
"""How alike names are that are told: `nmae` and `name` just so."""


def check_names(what: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise `TypeError` for a name that is not known, with the one that was probably meant.

    Args:
        what: How the error begins, as `An agent has no field`.
        given: The names that were given.
        known: The names that there are.
    """
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        near = near_name(unknown, known)
        raise TypeError(f"{what} {unknown!r}." + (f" Did you mean `{near}`?" if near else ""))


def near_name(name: str, known: Collection[str]) -> str | None:
    """The known name that was probably meant by another one, if there is one."""
    from difflib import get_close_matches  # most programs make no mistake

    names = {foreign: one for foreign, meant in _MEANT.items() for one in meant if one in known}
    names |= {one: one for one in known}
    near = get_close_matches(name, sorted(names), n=1, cutoff=_NEAR)
    return names[near[0]] if near else None
