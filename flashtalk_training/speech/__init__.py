"""Spoken sentences of eSpeak NG with the mouth shape of every moment."""
