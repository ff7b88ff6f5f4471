"""A cluster's GPUs by type, as people write them on a command line."""

from kilowait.errors import InputError


def parse_inventory(text: str) -> dict[str, int]:
    """Read `A100=16,A6000=30`, types in the order given; raises InputError showing the part that is wrong."""
    inventory: dict[str, int] = {}
    for part in text.split(","):
        name, equals, count = (piece.strip() for piece in part.rpartition("="))
        if not (name and equals and count.isascii() and count.isdigit() and len(count) < 16 and int(count) >= 1):
            raise InputError(f"{part!r} is not TYPE=N with a whole N >= 1, as in A100=16,A6000=30")
        if name in inventory:
            raise InputError(f"{name!r} stands twice; give each type once")
        inventory[name] = int(count)
    return inventory
