"""The link: mirrors own streams up to the hub, foreign ones and own boxes down."""
