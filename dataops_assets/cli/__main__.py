"""`python -m dataops_assets.cli`."""

from dataops_assets.cli.commands import main

if __name__ == "__main__":
    main()
