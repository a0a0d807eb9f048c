"""What every service stands on: the contract between services, the kit, the rule for seats, texts and pages."""
