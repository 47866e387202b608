"""One render computed by several devices: what each holds, and what they exchange."""
