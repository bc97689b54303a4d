"""The canonical encoding: identity.md (head), wire.md 2."""

U64_MAX = 2**64 - 1


class Refused(Exception):
    """Bytes that the specification refuses."""


def need(condition: bool, why: str) -> None:
    """Refuses what is being read unless `condition` holds."""
    if not condition:
        raise Refused(why)


class Reader:
    """Reads fields one after the other. Whatever is not the one encoding of a value is refused."""

    def __init__(self, data: bytes):
        self.data = bytes(data)
        self.at = 0
        self.varints: list[tuple[int, int]] = []

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def array(self, length: int) -> bytes:
        need(self.left >= length, "the bytes end early")
        self.at += length
        return self.data[self.at - length : self.at]

    def u8(self) -> int:
        return self.array(1)[0]

    def flag(self) -> bool:
        value = self.u8()
        need(value < 2, "a flag is 0 or 1")
        return value == 1

    def varint(self, largest: int = U64_MAX) -> int:
        """A minimal unsigned LEB128 number of at most ten bytes."""
        start, value = self.at, 0
        for place in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                need(byte != 0 or place == 0, "a number is not minimal")
                need(value <= largest, "a number is too large")
                self.varints.append((start, self.at))
                return value
        raise Refused("a number is longer than ten bytes")

    def zigzag(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def count(self, most: int, least: int = 0) -> int:
        """A count of things that take at least a byte each."""
        count = self.varint(most)
        need(least <= count <= self.left, "a count is out of range")
        return count

    def bytes(self, most: int) -> bytes:
        return self.array(self.count(most))

    def text(self, most: int) -> str:
        try:
            return self.bytes(most).decode()
        except UnicodeDecodeError as error:
            raise Refused("a text is not UTF-8") from error

    def rest(self) -> bytes:
        return self.array(self.left)

    def finish(self) -> None:
        need(self.left == 0, "bytes are left over")


def varint(value: int) -> bytes:
    """A number as minimal LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else -value * 2 - 1)


def prefixed(data: bytes) -> bytes:
    """A varint length and the bytes."""
    return varint(len(data)) + data


def le32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def le64(value: int) -> bytes:
    return value.to_bytes(8, "little")


_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data: bytes) -> str:
    """base58btc: each leading zero byte is a `1`."""
    number, out = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        out = _ALPHABET[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def unbase58(text: str) -> bytes:
    number = 0
    for letter in text:
        digit = _ALPHABET.find(letter)
        need(digit >= 0, "not base58btc")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8)
