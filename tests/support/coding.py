"""Content codings for the tests: gzip by Python's zlib, zstd by the system's libzstd, which ferrod itself needs."""
import ctypes
import functools
import gzip
import struct
import zlib


class _Buffer(ctypes.Structure):
    _fields_ = [("at", ctypes.c_char_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


@functools.lru_cache(maxsize=1)
def _zstd():
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_compressBound.restype = lib.ZSTD_compress.restype = lib.ZSTD_decompressStream.restype = ctypes.c_size_t
    lib.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    lib.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    lib.ZSTD_createDCtx.restype = ctypes.c_void_p
    lib.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
    lib.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer)]
    lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return lib


def _zstd_pack(data):
    lib = _zstd()
    out = ctypes.create_string_buffer(lib.ZSTD_compressBound(len(data)))
    size = lib.ZSTD_compress(out, len(out), data, len(data), 3)
    assert not lib.ZSTD_isError(size)
    return out.raw[:size]


def _zstd_unpack(data, partial):
    lib, done, left = _zstd(), b"", 1
    source, out = _Buffer(data, len(data), 0), ctypes.create_string_buffer(1 << 16)
    context = lib.ZSTD_createDCtx()
    try:
        while source.pos < len(data) or (left and to.pos == len(out)):
            to = _Buffer(ctypes.cast(out, ctypes.c_char_p), len(out), 0)
            left = lib.ZSTD_decompressStream(context, ctypes.byref(to), ctypes.byref(source))
            assert not lib.ZSTD_isError(left), "broken zstd"
            done += out.raw[:to.pos]
    finally:
        lib.ZSTD_freeDCtx(context)
    assert partial or left == 0, "the zstd answer breaks off"
    return done


def pack(coding, data):
    return gzip.compress(data) if coding == "gzip" else _zstd_pack(data)


def unpack(coding, data, partial=False):
    """partial: what is there of an answer that may break off."""
    if coding == "zstd":
        return _zstd_unpack(data, partial)
    decoder = zlib.decompressobj(31)
    done = decoder.decompress(data)
    assert partial or decoder.eof, "the gzip answer breaks off"
    assert not decoder.unused_data
    return done


def zstd_frame(data, window):
    """One frame of raw blocks that says it needs a window of that many bytes: a power of two, or one and eighths of it."""
    log = window.bit_length() - 1
    eighths = (window - (1 << log)) * 8 >> log
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3 | eighths])
    blocks = [data[i:i + 100000] for i in range(0, len(data), 100000)]
    for i, block in enumerate(blocks):
        frame += struct.pack("<I", len(block) << 3 | (i == len(blocks) - 1))[:3] + block
    return frame


def zstd_bomb(byte, size):
    """`size` bytes that are all the same, in blocks of run-length coding: 128 KiB in four bytes."""
    frame, step = b"\x28\xb5\x2f\xfd\x00" + bytes([(17 - 10) << 3]), 1 << 17
    while size > 0:
        n = min(size, step)
        size -= n
        frame += struct.pack("<I", n << 3 | 1 << 1 | (size == 0))[:3] + byte
    return frame
