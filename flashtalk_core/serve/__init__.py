"""A server for live sessions: sound in, pictures and sound out."""
