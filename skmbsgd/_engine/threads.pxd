"""How threads pass numbers to each other; see threads.h."""

from libc.stdint cimport int64_t

cdef extern from "threads.h":
    enum:
        BYTES_OF_PACKET "SKMBSGD_BYTES_OF_PACKET"
    ctypedef struct Packet "skmbsgd_packet":
        int64_t round
    void fill_packet "skmbsgd_fill_packet" (
        Packet* packet, const void* numbers, size_t n_bytes, int64_t round
    ) noexcept nogil
    void add_packet_double "skmbsgd_add_packet_double" (
        double* sums, const Packet* packet, size_t n_bytes) noexcept nogil
    void add_packet_float "skmbsgd_add_packet_float" (
        float* sums, const Packet* packet, size_t n_bytes) noexcept nogil
    void publish "SKMBSGD_PUBLISH" (int64_t* address, int64_t number) noexcept nogil
    int64_t published "SKMBSGD_PUBLISHED" (const int64_t* address) noexcept nogil
    void pause "SKMBSGD_PAUSE" () noexcept nogil
    void yield_processor "SKMBSGD_YIELD" () noexcept nogil
    int64_t milliseconds "skmbsgd_milliseconds" () noexcept nogil
