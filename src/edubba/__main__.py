"""`python -m edubba`, which torchrun needs."""

from edubba.cli import main

if __name__ == "__main__":
    main()
