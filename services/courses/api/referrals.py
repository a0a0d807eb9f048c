"""Referrals: people are referred to runs of other institutions, with their consent and a seat that is held."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from services.courses.api.models import After, InstitutionPath, Limit
from services.courses.domain.consent import Consent
from services.courses.domain.referral import Erasure, Receipt, Referral, ReferralState, Side
from services.courses.handlers import referring as handlers
from services.courses.handlers.referring import Asking
from shared.contract.referrals import Erased, ReferralField
from shared.contract.words import ID, Id, Line, Prose, Slug
from shared.kit.bodies import Day, In
from shared.kit.http import ReadKey, WriteKey, node_of

router = APIRouter(prefix="/institutions/{institution}", tags=["referrals"])
ReferralId = Annotated[str, Path(pattern=ID)]


class ConsentIn(In):
    """What the person agreed to: who tells whom which fields, for what, until when; and the words that they read."""

    sender: Slug
    receiver: Slug
    fields: Annotated[tuple[ReferralField, ...], Field(min_length=1, max_length=len(ReferralField))]
    purpose: Line
    given_on: Day
    expires_on: Day
    text: Annotated[Prose, Field(min_length=1)]
    version: Line


class ReferralIn(In):
    """Whom to refer, to which run of whom; the consent is the condition."""

    participant_id: Id
    to: Slug
    run_id: Id
    consent: ConsentIn

    def asking(self, institution: str) -> Asking:
        """Give it in the words of the handlers; a field that is named twice counts once."""
        values = self.consent.model_dump()
        consent = Consent(**{**values, "fields": tuple(dict.fromkeys(self.consent.fields))})
        return Asking(institution, self.participant_id, self.to, self.run_id, consent)


class ReceiptOut(BaseModel):
    """What an institution says it deleted, with its signature; `verified` is null where no key of theirs is known."""

    what: tuple[Erased, ...]
    at: datetime
    signed_by: Literal["institution", "node"]
    kid: str
    signature: str
    verified: bool | None

    @classmethod
    def of(cls, receipt: Receipt) -> "ReceiptOut":
        """Show a receipt."""
        return cls(**vars(receipt))


class ReferralOut(BaseModel):
    """One side's view of a referral: ids, states and times, never what was sent."""

    referral_id: Id
    side: Side
    other: Slug
    run_id: Id
    state: ReferralState
    code: str | None
    participant_id: Id | None
    enrolment_id: Id | None
    fields: tuple[ReferralField, ...]
    purpose: str
    expires_on: date
    asked_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    erasure: Erasure | None
    erasure_at: datetime | None
    receipt: ReceiptOut | None

    @classmethod
    def of(cls, referral: Referral) -> "ReferralOut":
        """Show a referral."""
        plain = {name: getattr(referral, name) for name in cls.model_fields if name not in ("referral_id", "receipt")}
        receipt = ReceiptOut.of(referral.receipt) if referral.receipt else None
        return cls(referral_id=referral.id, receipt=receipt, **plain)


class Referrals(BaseModel):
    """A page of referrals."""

    items: list[ReferralOut]
    next: str | None


@router.post("/referrals", status_code=201)
async def refer_participant(
    institution: InstitutionPath, body: ReferralIn, request: Request, key: WriteKey
) -> ReferralOut:
    """Refer a participant to another institution's run; nothing of theirs is told before that one has agreed."""
    async with node_of(request).works() as work:
        return ReferralOut.of(await handlers.ask(body.asking(institution), work))


@router.get("/referrals")
async def list_referrals(
    institution: InstitutionPath,
    request: Request,
    key: ReadKey,
    side: Side | None = None,
    state: ReferralState | None = None,
    after: After = "",
    limit: Limit = 100,
) -> Referrals:
    """List the referrals that the institution sent or received."""
    async with node_of(request).works.looking() as store:
        found = await store.referrals(institution, after, limit + 1, side, state)
    items = [ReferralOut.of(each) for each in found[:limit]]
    return Referrals(items=items, next=items[-1].referral_id if len(found) > limit else None)


@router.get("/referrals/{referral_id}")
async def show_referral(
    institution: InstitutionPath, referral_id: ReferralId, request: Request, key: ReadKey
) -> ReferralOut:
    """Show a referral with what became of it, and the receipt of its erasure."""
    async with node_of(request).works.looking() as store:
        return ReferralOut.of(await store.referral(referral_id, institution))


@router.post("/referrals/{referral_id}/recall")
async def recall_referral(
    institution: InstitutionPath, referral_id: ReferralId, request: Request, key: WriteKey
) -> ReferralOut:
    """Take a referral back that nobody has accepted yet: the seat is freed and what was sent is deleted there."""
    async with node_of(request).works() as work:
        return ReferralOut.of(await handlers.recall(referral_id, institution, work))
