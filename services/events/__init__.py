"""The service events: meetings in series, and who comes to them."""
