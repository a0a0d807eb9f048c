"""What is made of answers, how addresses rest, who listens, and the signature of the specification's own example."""

import base64
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from services.notifications.domain.push import Outcome, Push, PushState, Reply, after, claim, release, reply_of
from services.notifications.domain.signing import Unreadable, headers, new_secret, public_key_of, seal, unseal
from services.notifications.domain.webhook import (
    AT_ONCE,
    TRIPPED,
    Circuit,
    Listener,
    Signing,
    failed,
    noted,
    worked,
)

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
PUSH = Push("push_1", "webhook_1", "msg_1", "t", NOW, NOW, NOW, NOW + timedelta(hours=72))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.delivered), (204, Outcome.delivered), (299, Outcome.delivered),
        (301, Outcome.redirect), (304, Outcome.redirect), (307, Outcome.redirect), (199, Outcome.redirect),
        (400, Outcome.refused), (413, Outcome.refused), (422, Outcome.refused),
        (401, Outcome.closed), (403, Outcome.closed), (404, Outcome.closed), (408, Outcome.closed),
        (410, Outcome.gone), (429, Outcome.throttled),
        (500, Outcome.server_error), (503, Outcome.server_error), (599, Outcome.server_error),
    ],
)  # fmt: skip
def test_every_status_has_its_outcome(status: int, outcome: Outcome) -> None:
    """Only 2xx is done."""
    assert reply_of(status, "", None, NOW).outcome is outcome


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("120", 120),
        ("0", None),
        ("99999999999", 86400),
        ("Mon, 23 Nov 2026 09:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 08:00:00 GMT", None),
        ("Mon, 23 Nov 2099 08:00:00 GMT", 86400),
        ("soon", None),
        ("-5", None),
        ("١٢", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(words: str | None, seconds: int | None) -> None:
    """Seconds or a date, a day at most; nonsense and the past count as nothing; other answers may not ask."""
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert reply_of(429, "", words, NOW).pause == wanted
    assert reply_of(500, "", words, NOW).pause is None


def test_waits_double_up_to_six_hours_with_full_jitter() -> None:
    """Each wait lies anywhere between nothing and its limit, which doubles from five seconds on."""
    random, failing = Random(3), Reply(Outcome.server_error)
    for attempts in range(1, 20):
        moved = [after(_tried(attempts), failing, NOW, random).not_before - NOW for _ in range(200)]
        limit = min(5 * 2 ** (attempts - 1), 6 * 3600)
        assert limit * 0.9 < max(moved).total_seconds() <= limit
        assert min(moved).total_seconds() < limit * 0.1


def _tried(attempts: int) -> Push:
    push = PUSH
    for _ in range(attempts):
        push = claim(push, NOW)
    return push


def test_after_72_hours_nothing_is_tried_any_more_until_somebody_asks() -> None:
    """The attempt whose wait would lead beyond the end is the last; released by hand, there is time again."""
    late = NOW + timedelta(hours=71, minutes=59, seconds=59)
    given_up = after(_tried(15), Reply(Outcome.timeout), late, Random(1))
    assert (given_up.state, given_up.last_outcome) == (PushState.given_up, "timeout")
    released = release(given_up, late)
    assert after(claim(released, late), Reply(Outcome.timeout), late, Random(1)).state is PushState.waiting
    assert released.message_id == PUSH.message_id


def test_an_address_rests_after_three_failures_and_is_tried_by_one_at_a_time() -> None:
    """The waits grow to a quarter of an hour at most; a success ends all of it."""
    random, circuit = Random(1), Circuit()
    for number in range(1, 30):
        circuit = failed(circuit, NOW, random)
        assert (circuit.open_until is not None) is (number >= TRIPPED)
        assert circuit.room == (1 if number >= TRIPPED else AT_ONCE)
    assert circuit.open_until is not None
    assert timedelta(seconds=1) <= circuit.open_until - NOW <= timedelta(minutes=15)
    assert worked(circuit) == Circuit()


def test_lasting_failure_counts_from_the_first_one_and_refused_messages_count_too() -> None:
    """72 hours without a single success, whatever failed."""
    circuit = noted(Circuit(), NOW)
    later = NOW + timedelta(hours=72)
    assert (circuit.failures, circuit.room) == (0, AT_ONCE)
    assert not failed(circuit, later - timedelta(seconds=1), Random(1)).lasting(later - timedelta(seconds=1))
    assert failed(circuit, later, Random(1)).lasting(later)
    assert not worked(circuit).lasting(later)


def test_a_listener_wants_what_it_asked_for_behind_the_place_where_it_began() -> None:
    """Type, institution and position must all fit; None stands for all, an unknown stream begins at its start."""
    everything = Listener("w", None, None, {"s": (1, 5)})
    assert [everything.wants("s", (1, at), "t", "awo") for at in (4, 5, 6)] == [False, False, True]
    assert everything.wants("s", (2, 1), "t", "awo")
    assert everything.wants("other", (1, 1), "t", "awo")
    some = Listener("w", ("t",), ("awo",), {})
    assert [some.wants("s", (1, 1), *of) for of in (("t", "awo"), ("u", "awo"), ("t", "vnb"))] == [True, False, False]


def test_the_signature_is_that_of_the_reference_libraries() -> None:
    """The test vector that all libraries of Standard Webhooks share."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)
    made = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [secret])
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert made["webhook-timestamp"] == "1614265330"


@pytest.mark.parametrize(("signing", "prefix"), [(Signing.hmac, "whsec_"), (Signing.ed25519, "whsk_")])
def test_secrets_have_the_form_of_the_specification(signing: Signing, prefix: str) -> None:
    """32 random bytes behind a prefix; only the key pair has a public half."""
    secret = new_secret(signing, Random(1))
    assert secret.startswith(prefix)
    assert len(base64.b64decode(secret.removeprefix(prefix))) == 32
    public = public_key_of(secret)
    assert (public is None) is (signing is Signing.hmac)
    assert public is None or public.startswith("whpk_")


def test_a_sealed_secret_opens_only_for_its_webhook_and_its_node() -> None:
    """Another node secret, another webhook, or one changed byte, and it stays closed."""
    sealed = seal("whsec_x", "webhook_1", "a-secret-of-the-node", Random(1))
    assert unseal(sealed, "webhook_1", "a-secret-of-the-node") == "whsec_x"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in (
        (sealed, "webhook_2", "a-secret-of-the-node"),
        (sealed, "webhook_1", "another-secret"),
        (changed, "webhook_1", "a-secret-of-the-node"),
    ):
        with pytest.raises(Unreadable):
            unseal(*wrong)
