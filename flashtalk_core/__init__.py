"""Portrait and speech to talking video: the models, the chunk loop, audio and files."""

__version__ = "0.1.0"
