"""Portrait and speech to talking video: the models, the chunk loop, sound and files."""

__version__ = "0.1.0"
