"""Memory that the process that renders and its ranks share."""
