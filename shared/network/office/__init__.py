"""The office: invites, admits, revokes, and what a member does to join."""
