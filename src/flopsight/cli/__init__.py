"""The command: parse, one call of the api, print. One file a command."""
