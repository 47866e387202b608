"""What happens to frames before they are encoded: upscaling, frames in between."""
