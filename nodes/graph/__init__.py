"""Inputs of the nodes: descriptions, what a graph asks for, and errors at the input at fault."""
