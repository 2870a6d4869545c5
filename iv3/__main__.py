"""`python -m iv3`, the same as the command `iv3`."""

from iv3.start import main

if __name__ == "__main__":
    main()
