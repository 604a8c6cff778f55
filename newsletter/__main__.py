"""`python -m newsletter`, and the `newsletter` command."""

from newsletter import garbage


def main() -> None:
    """Run the command line, and end the process."""
    garbage.put_off()
    from newsletter import cli  # what it loads is no garbage, and to look for some takes a tenth of its time

    cli.main()


if __name__ == "__main__":
    main()
