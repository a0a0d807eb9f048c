"""Erasing a person here and wherever a referral brought them, and the signed receipt of that."""

from dataclasses import replace

from services.courses.domain import referral as rules
from services.courses.domain.referral import Ignored, Receipt, Referral, ReferralState, Side, Stranger
from services.courses.handlers import participants, referring
from services.courses.handlers.following import about, say_ignored
from services.courses.handlers.referred import is_their_own
from services.courses.store import Store
from shared.contract.referrals import Erased, ErasureAsked, ErasureReceipt
from shared.kit.work import Work
from shared.network.receipts import Signer, receipt_is_genuine, said_by_receipt


async def erase_everywhere(
    participant_id: str, institution: str, work: Work[Store], answering: str | None = None
) -> None:
    """Erase a participant and ask every institution that holds them through a referral to do the same.

    `answering` is the referral through which that was asked here: who asked is not asked back.
    """
    await work.store.locked_participant(participant_id, institution)
    await ask_others(participant_id, institution, work, answering)
    await participants.erase_participant(participant_id, institution, work)


async def ask_others(participant_id: str, institution: str, work: Work[Store], answering: str | None = None) -> None:
    """Ask whoever holds a participant through a referral to erase them, where that was not asked yet."""
    for known in await work.store.referrals_of(participant_id):
        if known.id != answering and known.institution == institution and known.erasure is None:
            await _ask_other(known, work)


async def _ask_other(known: Referral, work: Work[Store]) -> None:
    referral = await work.store.locked_referral(known.id, known.institution) or known
    if referral.state in rules.OPEN_SENT:
        referral = rules.recalled(referral, work.now, "erased")
    asked = replace(referral, erasure="asked", erasure_at=work.now, version=referral.version + 1)
    await work.store.keep_referral(asked)
    work.tell(about(ErasureAsked, asked))


async def hear_erasure(message: ErasureAsked, work: Work[Store]) -> None:
    """Delete what is here of a person through a referral, and sign what was deleted; asked again, say it again."""
    known = await work.store.referral_if_any(message.referral_id, message.to)
    if known is None:
        # What never arrived needs no deleting, and whoever asks is told so: else they would wait for ever.
        work.tell(_receipt(message, (), work))
        return
    if known.other != message.institution:
        raise Stranger("referral_of_others", f"'{message.institution}' speaks of a referral that is not with them")
    if known.erasure == "answered" and known.receipt is not None:
        work.tell(_again(message, known.receipt))
        return
    what = await (_erase_received if known.side is Side.RECEIVED else _erase_sent)(known, work)
    receipt = _receipt(message, what, work)
    referral = await work.store.locked_referral(known.id, known.institution) or known
    await work.store.keep_referral(
        replace(
            referral,
            participant_id=None,
            enrolment_id=None,
            consent=None,
            forget=False,
            erasure="answered",
            erasure_at=work.now,
            receipt=_kept(receipt, verified=True),
            version=referral.version + 1,
        )
    )
    work.tell(receipt)


async def _erase_received(known: Referral, work: Work[Store]) -> tuple[Erased, ...]:
    what = [Erased.KEY, Erased.LINK]
    await work.store.destroy_key(known)
    if known.participant_id is None:
        return await _ended(known, what, work)
    await work.store.locked_participant(known.participant_id, known.institution)
    if await is_their_own(known, work):
        return await _ended(known, [*what, Erased.FILE_KEPT], work)
    enrolments = await work.store.open_enrolments_of(known.participant_id)
    await erase_everywhere(known.participant_id, known.institution, work, answering=known.id)
    seat = [Erased.SEAT] if enrolments else []
    return await _ended(known, [*what, *seat, Erased.FILE, Erased.MESSAGES], work)


async def _ended(known: Referral, what: list[Erased], work: Work[Store]) -> tuple[Erased, ...]:
    referral = await work.store.locked_referral(known.id, known.institution) or known
    if referral.state in rules.OPEN_RECEIVED:
        await work.store.keep_referral(rules.ended_here(referral, ReferralState.RECALLED, work.now, "erased"))
    return tuple(what)


async def _erase_sent(known: Referral, work: Work[Store]) -> tuple[Erased, ...]:
    """Forget whom was referred; the file is the sender's own and stays until it is erased there."""
    await referring.blank(known, work)
    return (Erased.MESSAGES, Erased.LINK, Erased.FILE_KEPT)


def _receipt(message: ErasureAsked, what: tuple[Erased, ...], work: Work[Store]) -> ErasureReceipt:
    at = work.now.replace(microsecond=0)
    said = said_by_receipt(message.referral_id, message.to, message.institution, what, at)
    signed = _signer(message.to, work).sign(said)
    return ErasureReceipt(
        institution=message.to,
        to=message.institution,
        version=message.version,
        referral_id=message.referral_id,
        what=what,
        at=at,
        signed_by=signed.by,
        kid=signed.kid,
        signature=signed.signature.hex(),
    )


def _signer(institution: str, work: Work[Store]) -> Signer:
    return Signer.of(institution, work.settings.identities, work.settings.secret.get_secret_value())


def _again(message: ErasureAsked, receipt: Receipt) -> ErasureReceipt:
    return ErasureReceipt(
        institution=message.to,
        to=message.institution,
        version=message.version,
        referral_id=message.referral_id,
        what=receipt.what,
        at=receipt.at,
        signed_by=receipt.signed_by,
        kid=receipt.kid,
        signature=receipt.signature,
    )


def _kept(message: ErasureReceipt, verified: bool | None) -> Receipt:
    return Receipt(message.what, message.at, message.signed_by, message.kid, message.signature, verified)


async def hear_receipt(message: ErasureReceipt, work: Work[Store]) -> None:
    """Keep a receipt that was asked for, with whether its signature is theirs; a second one changes nothing."""
    found = await work.store.locked_referral(message.referral_id, message.to)
    if found is None or found.other != message.institution or found.erasure is None:
        raise Stranger("erasure_not_asked", f"'{message.institution}' answers about an erasure that nobody asked for")
    if found.erasure != "asked":
        # Both sides may have asked each other at once: then each has answered, and that is what counts.
        say_ignored(message.type, found.id, Ignored("crossed" if found.erasure == "answered" else "doubled"))
        return
    signer = _signer(message.institution, work)
    known = signer.public if (signer.kid, signer.by) == (message.kid, message.signed_by) else None
    await _keep_receipt(found, _kept(message, None), known, work)
    if found.side is Side.SENT:
        await referring.blank(found, work)


async def verify(referral_id: str, institution: str, public: bytes, work: Work[Store]) -> None:
    """Check a receipt with the key that the roster names."""
    found = await work.store.locked_referral(referral_id, institution)
    if found is not None and found.erasure == "unverified" and found.receipt is not None:
        await _keep_receipt(found, found.receipt, public, work)


async def _keep_receipt(found: Referral, receipt: Receipt, public: bytes | None, work: Work[Store]) -> None:
    verified = None if public is None else _is_genuine(found, receipt, public)
    known = replace(found, receipt=replace(receipt, verified=verified), version=found.version + 1)
    await work.store.keep_referral(replace(known, erasure="unverified" if verified is None else "done"))


def _is_genuine(found: Referral, receipt: Receipt, public: bytes) -> bool:
    said = said_by_receipt(found.id, found.other, found.institution, receipt.what, receipt.at)
    return receipt_is_genuine(public, said, bytes.fromhex(receipt.signature))
