"""The chunk loop: image, prompt and audio in, frames out, state passed in and out."""
