"""What all messages, and the values in them, are made of."""

import msgspec


class Packed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A frozen value that travels as an array of its fields, in their order.

    Of a message, its kind stands in front of them: the `tag`, a part of the protocol.
    What arrives may leave out fields at its end that have a default, and no others.
    """
