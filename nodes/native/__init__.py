"""ComfyUI's own networks as a FlashTalk model."""
