"""All that a cluster is, as plain values that can be compared, orders included; but not what is built again."""

from dataclasses import fields

from kilowait.cluster.boards import Boards

VIEWS = {"_rankings", "_ends", "_by_area", "_lent"}


def everything(cluster, *, but=()):
    """By name, what a cluster holds."""
    names = [part.name for part in fields(cluster) if part.name not in VIEWS | set(but)]
    return {name: plain(getattr(cluster, name)) for name in names}


def plain(value):
    if isinstance(value, dict):
        return [(key, plain(entry)) for key, entry in value.items()]
    if isinstance(value, Boards):
        return [(name, plain(getattr(value, name))) for name in Boards.__slots__]
    return value
