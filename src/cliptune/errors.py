"""What a person can mend, in two lines: what is wrong and where; what to type instead.

Exception
└── UserError        printed without a traceback, exit code 2
"""


class UserError(Exception):
    """A mistake the user can mend.

    Args:
        what: what is wrong and where, one line, no full stop.
        fix: what to type or do instead, one line.
    """

    def __init__(self, what: str, fix: str):
        super().__init__(f"{what}\n{fix}")
        self.what = " ".join(what.split("\n"))
        self.fix = " ".join(fix.split("\n"))
