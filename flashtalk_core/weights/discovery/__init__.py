"""Finding the files of a model: folders, names, and what each file holds."""
