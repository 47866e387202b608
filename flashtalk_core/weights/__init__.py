"""Weight files as people have them, mapped onto the models and streamed to their device."""
