from cliptune.cli.main import run

run()
