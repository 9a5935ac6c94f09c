"""What tables take from one run's measurement: a curve for each unit drawn within the run."""

from td_interference.statistics import mean_where_known
from td_interference.storage import Arrays
from td_interference.tables.reduce import Curve

NEARBY = (1, 5)  # agent steps: the offsets "near 0" of stiffness_nearby_by_lambda

LAST = -1  # checkpoint


def stiffness(arrays: Arrays) -> Curve:
    """Cosines against offset; units are segments of anchor states."""
    return Curve("offset", arrays["offset"].tolist(), mean_where_known(arrays["cosine"][LAST], 1))


def stiffness_nearby(arrays: Arrays) -> Curve:
    """Mean cosine of the offsets `NEARBY`; units are segments of anchor states."""
    offset = arrays["offset"]
    near = (offset >= NEARBY[0]) & (offset <= NEARBY[1])
    cosine = arrays["cosine"][LAST][:, :, near]
    return Curve(None, [0.0], mean_where_known(cosine.reshape(len(cosine), -1), 1)[:, None])


def gain(arrays: Arrays) -> Curve:
    """Gain against offset; units are minibatches."""
    return Curve("offset", arrays["offset"].tolist(), mean_where_known(arrays["gain"][LAST], 1))


def singular_values(arrays: Arrays) -> Curve:
    """Singular values against their index from 1; a run is one unit."""
    values = arrays["singular_value"][LAST]
    return Curve("index", list(range(1, len(values) + 1)), values[None])


def sign_variance(arrays: Arrays) -> Curve:
    """Sign variance; units are segments of consecutive steps."""
    return Curve(None, [0.0], arrays["sign_variance"][LAST][:, None])


def function_interference(arrays: Arrays) -> Curve:
    """Function interference; units are states."""
    return Curve(None, [0.0], arrays["function_interference"][LAST][:, None])
