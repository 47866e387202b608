"""Renders that go on for hours, or that follow each other by the hundred."""
