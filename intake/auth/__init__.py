"""Who calls: verifies tokens and API keys, and looks up how caller and organization stand right now."""

from intake.auth.caller import AnyCaller, Caller, admit, allowed, authenticate, identify
from intake.auth.token import ALGORITHM, Identity, verify

__all__ = [
    "ALGORITHM",
    "AnyCaller",
    "Caller",
    "Identity",
    "admit",
    "allowed",
    "authenticate",
    "identify",
    "verify",
]
