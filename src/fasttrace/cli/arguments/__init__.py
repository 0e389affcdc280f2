"""The arguments of the commands, by what the commands are about. Imports nothing of what the commands do."""
