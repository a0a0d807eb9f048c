"""Requests in: what became of the mails, and the webhooks of partner systems."""

from fastapi import APIRouter

from services.notifications.api import deliveries, webhooks

router = APIRouter()
router.include_router(deliveries.router)
router.include_router(webhooks.router)
