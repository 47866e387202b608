"""Writing a video file with its audio while frames arrive."""
