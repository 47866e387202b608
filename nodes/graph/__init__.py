"""Inputs of the nodes: descriptions, render plan and job, and errors that name an input."""
