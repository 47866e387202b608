"""Weight files in every published layout, mapped onto the models and streamed to a device."""
