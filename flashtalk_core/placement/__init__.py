"""Where networks run: devices, the memory plan, and loading and eviction by it."""
