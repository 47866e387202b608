"""Frames and their times out of video files."""
