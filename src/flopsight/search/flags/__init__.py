"""Launch commands of a layout, one file a program; every option is one that the named version documents."""
