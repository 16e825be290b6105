"""`python -m ebm` is the `ebm` command, which launchers such as torchrun start by this name."""

from ebm.cli import main

if __name__ == "__main__":
    main()
