"""Courses: offers and runs, seats and queues, participants and their enrolments."""
