"""`python -m flopsight`."""

from flopsight.cli.main import main

main()
