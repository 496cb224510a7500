"""`python -m brewhouse` is the `brewhouse` command."""

from brewhouse.cli.main import start

if __name__ == "__main__":
    start()
