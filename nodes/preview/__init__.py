"""The live preview: messages, streams and progress of a running node."""
