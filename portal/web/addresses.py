"""Addresses that somebody else wrote: headers and arguments, read without trusting their form."""

from urllib.parse import SplitResult, urlsplit

NOWHERE = SplitResult("", "", "", "", "")


def split_address(text: str) -> SplitResult:
    """Split an address into its parts; what is no address at all has none."""
    try:
        return urlsplit(text)
    except ValueError:
        return NOWHERE
