"""`python -m schedsearch` is the `schedsearch` command."""

from schedsearch.cli import main

main()
