"""The version of this distribution."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]


def _installed() -> str:
    try:
        return version("letta-adapters")
    except PackageNotFoundError:  # the source tree, not installed
        return "0"


__version__ = _installed()
