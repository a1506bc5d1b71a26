"""The tasks that ship with the project: real data that comes inside installed packages; nothing is downloaded."""
