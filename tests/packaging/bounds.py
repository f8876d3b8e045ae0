"""Tell whether an extra is installed at its lower bounds, as `make matrix` has to have run them.

`python -m tests.packaging.bounds dev --without dev-core` shows the version of every package that `dev` names, and
leaves out those of `dev-core`. It fails where one is not the lowest that is said to do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

NAME = "letta-adapters"


def requirements_of(extra: str) -> Iterator[Requirement]:
    """Every requirement of the package with this extra, and with those that the extra names."""
    for requirement in map(Requirement, requires(NAME) or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.name == NAME:
            for other in requirement.extras:
                yield from requirements_of(other)
        else:
            yield requirement


def lower_bound(requirement: Requirement) -> str:
    """The version of `>=`, the one operator that bounds are written with."""
    (bound,) = requirement.specifier
    assert bound.operator == ">=", requirement
    return bound.version


def main() -> int:
    """Show the versions; the exit code tells whether all are the lowest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("extra")
    parser.add_argument("--without")
    arguments = parser.parse_args()
    named = {requirement.name: requirement for requirement in requirements_of(arguments.extra)}
    if arguments.without:
        others = {requirement.name for requirement in requirements_of(arguments.without)}
        named = {name: requirement for name, requirement in named.items() if name not in others}
    wrong = 0
    for name in sorted(named):
        installed, bound = version(name), lower_bound(named[name])
        right = SpecifierSet(f"=={bound}").contains(installed)
        wrong += not right
        print(f"{name} {installed}" + ("" if right else f", and the bound is {bound}"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
