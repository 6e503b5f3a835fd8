"""What the law asks for: a copy of everything of a person or an organization, and its erasure."""
