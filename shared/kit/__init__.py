"""What every service stands on: transaction, outbox, relay, reader, parking, lifecycle, health, log, errors."""
