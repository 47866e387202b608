"""Sound: measured once, heard the way the model needs it, cut into its windows."""
