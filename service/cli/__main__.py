"""`python -m service.cli`: the same as `longstream`."""

from service.cli import main

main()
