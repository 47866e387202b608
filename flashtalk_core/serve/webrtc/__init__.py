"""Sessions over WebRTC; needs aiortc, which is imported once somebody connects."""
