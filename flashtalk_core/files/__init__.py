"""Files: where they may be, how they are opened, and how they are replaced whole or not at all."""
