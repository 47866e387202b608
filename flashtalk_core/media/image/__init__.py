"""The portrait: picture files read, their colours and borders, fitted to the video."""
