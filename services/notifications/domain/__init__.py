"""What a letter to a participant says, how it looks, and its calendar: facts in, bytes out."""
