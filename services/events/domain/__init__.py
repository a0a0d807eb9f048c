"""What events decides, without any machinery."""
