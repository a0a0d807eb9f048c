"""A course's life, as people live through it: on SQLite and on PostgreSQL."""

from pathlib import Path

from deploy.demo.story import Story
from deploy.demo.verdict import faults

CATALOGUE = Path(__file__).parents[2] / "deploy" / "demo" / "catalogue.xml"


async def test_the_main_job(story: Story) -> None:
    """From an institution's catalogue to a participant's mailbox: every seat given once, every mail sent once."""
    await story.import_catalogue(CATALOGUE)
    await story.fill_a_run()
    await story.free_two_seats()
    await story.cancel_a_run()
    await story.publish_meetings()
    await story.settle()
    assert faults(story.figures) == []


def test_a_wrong_figure_is_named() -> None:
    """The control: an oversold seat, a doubled mail and a run that nobody sees are each found."""
    good = {
        "courses_imported": 12,
        "runs_seen_elsewhere": 12,
        "seats_taken": 18,
        "oversold": 0,
        "waiting": 3,
        "offers_made": 4,
        "offers_expired": 1,
        "offers_declined": 1,
        "mails_sent": 40,
        "mails_doubled": 0,
        "parked": 0,
    }
    assert faults(good) == []
    assert len(faults({**good, "oversold": 1, "mails_doubled": 2, "runs_seen_elsewhere": 11})) == 3
