"""`python -m dreamvideo_cli` is `dv`."""

from dreamvideo_cli.main import main

main()
