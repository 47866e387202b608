"""Live sessions: audio comes in while the video goes out."""
