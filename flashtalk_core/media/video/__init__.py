"""Writing a video file with its sound while frames arrive."""
