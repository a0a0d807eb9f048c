"""When simulated worlds begin."""

from datetime import UTC, datetime

BEGIN = datetime(2026, 11, 20, 8, tzinfo=UTC)
