"""The chunk loop: picture, prompt and sound in, frames out, state passed in and out."""
