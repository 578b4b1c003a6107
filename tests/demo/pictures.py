# SPDX-License-Identifier: MIT
"""Real pictures without a picture library: a PNG and a baseline JPEG encoder, and something to see."""

import math
import struct
import zlib


def scene(width, height, seed):
    """Rows of RGB pixels: soft waves over a gradient."""
    a, b = 3 + seed % 5, 2 + seed % 7
    rows = []
    for y in range(height):
        row = []
        for x in range(width):
            wave = math.sin(x * a / width * 6.28 + seed) + math.cos(y * b / height * 6.28)
            row.append((int(x * 255 / width), int((wave + 2) * 63), int(y * 255 / height)))
        rows.append(row)
    return rows


def png(rows):
    """PNG (W3C, 2003): 8-bit truecolour, no filter."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    raw = b"".join(b"\0" + b"".join(bytes(p) for p in row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 6))
            + chunk(b"IEND", b""))


# ITU T.81, annex K: luminance quantisation and the typical Huffman tables.
QUANT = [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
         14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
         92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99]
DC_BITS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
DC_VALUES = bytes(range(12))
AC_BITS = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d]
AC_VALUES = bytes.fromhex(
    "0102030004110512213141061351610722711432" "8191a1082342b1c11552d1f02433627282090a16"
    "1718191a25262728292a3435363738393a434445" "464748494a535455565758595a63646566676869"
    "6a737475767778797a838485868788898a929394" "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6"
    "b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8" "d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
    "f9fa")
ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8,
                                          i // 8 if (i // 8 + i % 8) % 2 else i % 8))
COS = [[math.cos((2 * x + 1) * u * math.pi / 16) * (math.sqrt(0.125) if u == 0 else 0.5)
        for x in range(8)] for u in range(8)]


def _codes(bits, values):
    codes, code, k = {}, 0, 0
    for length, n in enumerate(bits, 1):
        for _ in range(n):
            codes[values[k]] = (code, length)
            code, k = code + 1, k + 1
        code <<= 1
    return codes


def jpeg(rows):
    """Baseline JPEG (ITU T.81), greyscale."""
    height, width = len(rows), len(rows[0])
    dc, ac = _codes(DC_BITS, DC_VALUES), _codes(AC_BITS, AC_VALUES)
    bits, n_bits, out, last = 0, 0, bytearray(), 0

    def emit(code, length):
        nonlocal bits, n_bits
        bits, n_bits = bits << length | code, n_bits + length
        while n_bits >= 8:
            n_bits -= 8
            byte = bits >> n_bits & 255
            out.append(byte)
            if byte == 255:
                out.append(0)
        bits &= (1 << n_bits) - 1

    def number(v):
        size = abs(v).bit_length()
        return size, v if v >= 0 else v + (1 << size) - 1

    grey = [[(r * 299 + g * 587 + b * 114) // 1000 - 128 for r, g, b in row] for row in rows]
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            block = [[grey[min(top + y, height - 1)][min(left + x, width - 1)] for x in range(8)]
                     for y in range(8)]
            half = [[sum(COS[u][x] * line[x] for x in range(8)) for u in range(8)] for line in block]
            full = [sum(COS[v][y] * half[y][u] for y in range(8)) for v in range(8) for u in range(8)]
            coded = [round(full[i] / QUANT[i]) for i in ZIGZAG]
            size, value = number(coded[0] - last)
            last = coded[0]
            emit(*dc[size])
            emit(value, size)
            run = 0
            for c in coded[1:]:
                if c == 0:
                    run += 1
                    continue
                while run > 15:
                    emit(*ac[0xf0])
                    run -= 16
                size, value = number(c)
                emit(*ac[run << 4 | size])
                emit(value, size)
                run = 0
            if run:
                emit(*ac[0])
    if n_bits:
        emit((1 << (8 - n_bits)) - 1, 8 - n_bits)

    def segment(marker, data):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    return (b"\xff\xd8" + segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
            + segment(0xdb, b"\0" + bytes(QUANT[i] for i in ZIGZAG))
            + segment(0xc0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
            + segment(0xc4, b"\0" + bytes(DC_BITS) + DC_VALUES)
            + segment(0xc4, b"\x10" + bytes(AC_BITS) + AC_VALUES)
            + segment(0xda, b"\1\1\0\0\x3f\0") + bytes(out) + b"\xff\xd9")
