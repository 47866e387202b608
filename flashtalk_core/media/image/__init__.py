"""The portrait: image files read, their colours and borders, fitted to the video."""
