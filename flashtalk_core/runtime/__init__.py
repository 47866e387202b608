"""Renders on several devices of one host: a process for each, and what starts and watches them."""
