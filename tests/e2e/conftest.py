from tests.command import cliptune, few  # noqa: F401
