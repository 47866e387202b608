"""Speakers of a render: as a user writes them, and as they are planned."""
