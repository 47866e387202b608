"""Audio, images and video files: reading, measuring, fitting and writing them."""
