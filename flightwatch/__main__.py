"""`python -m flightwatch` is `flightwatch`."""

from flightwatch.cli import main

if __name__ == "__main__":
    main()
