"""What is read and loaded while something before it runs."""
