"""Execution of prompts."""
