"""Requests in: what institutions, everybody, and people with a link can ask."""

from fastapi import APIRouter

from services.courses.api import exports, imports, network, pages, people, places, plans, referrals

router = APIRouter()
for part in (plans, people, places, referrals, imports, network, exports, pages):
    # One flat list: whoever walks the routes, such as the test of keys, sees every one with its path.
    router.routes.extend(part.router.routes)
