"""Older faces in ink and side light: a style that nothing is trained on."""
