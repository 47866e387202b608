"""Stand-in for ComfyUI's public interface."""
