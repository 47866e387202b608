"""``render`` and ``jobs``: their options, and what runs a render and shows how far it is."""
