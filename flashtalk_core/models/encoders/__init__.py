"""Text, image and audio encoders."""
