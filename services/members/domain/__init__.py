"""What members decides, without any machinery."""
