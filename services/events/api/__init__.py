"""Requests in: what institutions, everybody, and people with a link can ask."""

from fastapi import APIRouter

from services.events.api import asking, network, pages, people, plans

# One flat list of routes: what walks over them, to see that each demands a key, must not miss a nested one.
router = APIRouter(routes=[route for part in (plans, people, network, asking, pages) for route in part.router.routes])
