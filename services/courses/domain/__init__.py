"""What the courses service decides: pure rules without database, broker or clock."""
