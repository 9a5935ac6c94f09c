"""Numbers in names: of runs, of lines."""


def digits(value: float) -> str:
    """Return a number for a name: as short as it can be and still tell it from any other."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
