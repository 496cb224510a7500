"""`python -m brewhouse` is the `brewhouse` command."""

from brewhouse.cli.main import main

if __name__ == "__main__":
    main()
