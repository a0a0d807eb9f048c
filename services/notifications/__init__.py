"""Notifications: writes to participants what became of their places, once each, and keeps what became of the mail."""
