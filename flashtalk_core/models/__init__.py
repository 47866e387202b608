"""Networks, one forward each; state is passed in and out, attention is a constructor argument."""
