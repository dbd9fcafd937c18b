"""Passwords: what is accepted, how they are kept, and how often one may be wrong."""

import hashlib
import unicodedata
from functools import cache

import redis
import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.domain.errors import Conflict, Invalid
from portal.queue import open_redis

log = structlog.stdlib.get_logger(__name__)

PASSWORD_CHARACTERS_MIN = 15
# Longer ones are refused instead of cut, and cannot keep the hash busy.
PASSWORD_CHARACTERS_MAX = 1024
DIFFERENT_CHARACTERS_MIN = 5
TRIES_MAX = 10
TRIES_WINDOW_SECONDS = 300

# The first choice of the OWASP cheat sheet for Argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class PasswordRefused(Invalid):
    """The password {problem}. Nothing was saved; choose one of {minimum} characters or more, such
    as four words that do not belong together."""

    problem: str
    minimum: int


class TooManyTries(Conflict):
    """There were too many tries to sign in with this e-mail address. You are not signed in; wait
    {minutes} minutes, then try again."""

    minutes: int


def check_password(password: str, *, email: str) -> None:
    """Refuse a password that is short, endless, one repeated sign or the address itself.

    Raises: PasswordRefused.
    """
    problem = None
    if len(password) < PASSWORD_CHARACTERS_MIN:
        problem = f"has {len(password)} characters; it needs at least {PASSWORD_CHARACTERS_MIN}"
    elif len(password) > PASSWORD_CHARACTERS_MAX:
        problem = f"is longer than {PASSWORD_CHARACTERS_MAX} characters"
    elif len(set(password)) < DIFFERENT_CHARACTERS_MIN:
        problem = f"has fewer than {DIFFERENT_CHARACTERS_MIN} different characters"
    elif password.strip().lower() == email:
        problem = "is the e-mail address"
    if problem:
        raise PasswordRefused(problem=problem, minimum=PASSWORD_CHARACTERS_MIN, field="password")


def hash_password(password: str) -> str:
    """Turn a password into what is stored: Argon2id with its salt and parameters."""
    return _hasher.hash(_normal(password))


def is_password(password: str, password_hash: str | None) -> bool:
    """Say whether a password is the one that was stored.

    Shape: without a stored hash the answer is no, after the same work as with one.
    """
    if len(password) > PASSWORD_CHARACTERS_MAX:
        return False
    try:
        _hasher.verify(password_hash or _hash_of_nobody(), _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Say whether a hash was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(password_hash)


def count_try(email: str) -> None:
    """Count one try to sign in before it is made, so that many at once are no way round.

    Shape: without Redis nobody is locked out; the log says so.
    Raises: TooManyTries.
    """
    key = _tries_key(email)
    try:
        with open_redis().pipeline(transaction=True) as pipeline:
            pipeline.set(key, 0, ex=TRIES_WINDOW_SECONDS, nx=True)
            pipeline.incr(key)
            pipeline.ttl(key)
            _, tries, seconds = pipeline.execute()
    except (redis.RedisError, OSError) as error:
        log.warning("sign_in.tries_not_counted", error=str(error))
        return
    if tries > TRIES_MAX:
        raise TooManyTries(minutes=max(1, -(-int(seconds) // 60)))


def forget_tries(email: str) -> None:
    """Begin to count afresh once the right password was given."""
    try:
        open_redis().delete(_tries_key(email))
    except (redis.RedisError, OSError) as error:
        log.warning("sign_in.tries_not_counted", error=str(error))


def _tries_key(email: str) -> str:
    # An address is personal; Redis need not know it.
    return f"sign-in-tries:{hashlib.sha256(email.encode()).hexdigest()}"


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash("nobody has this password")


def _normal(password: str) -> str:
    """Write equal letters equally, whichever keyboard they come from."""
    return unicodedata.normalize("NFKC", password)
