"""The hub: what it holds, who may do what on it, and how it is kept."""
