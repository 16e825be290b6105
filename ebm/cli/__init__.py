"""The `ebm` command: one file per sub-command; `app` gathers them."""


def main() -> None:
    """Entry point of the `ebm` command."""
    from ebm.cli.app import app

    app(prog_name="ebm")
