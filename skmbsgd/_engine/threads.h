/* How threads pass numbers to each other, and wait for them. */

#ifndef SKMBSGD_THREADS_H
#define SKMBSGD_THREADS_H

#include <stdint.h>
#include <string.h>

#include "prefetch.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define SKMBSGD_YIELD() ((void)SwitchToThread())
#else
#include <sched.h>
#include <time.h>
#define SKMBSGD_YIELD() ((void)sched_yield())
#endif

/* Milliseconds of a monotonic clock; on Windows in steps of 10 or more */
static inline int64_t skmbsgd_milliseconds(void)
{
#if defined(_WIN32)
    return (int64_t)GetTickCount64();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
#endif
}

/* Tells the processor that its thread waits in a loop. */
#if defined(_MSC_VER)
#define SKMBSGD_PAUSE() YieldProcessor()
#elif defined(__x86_64__) || defined(__i386__)
#define SKMBSGD_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define SKMBSGD_PAUSE() __asm__ volatile("yield")
#else
#define SKMBSGD_PAUSE() ((void)0)
#endif

/* Whoever reads a number that was published sees all that was written before it. */
#if defined(_MSC_VER)
#define SKMBSGD_PUBLISH(address, number) WriteRelease64((address), (number))
#define SKMBSGD_PUBLISHED(address) ((int64_t)ReadAcquire64(address))
#else
#define SKMBSGD_PUBLISH(address, number) \
    __atomic_store_n((address), (int64_t)(number), __ATOMIC_RELEASE)
#define SKMBSGD_PUBLISHED(address) __atomic_load_n((address), __ATOMIC_ACQUIRE)
#endif

enum { SKMBSGD_BYTES_OF_PACKET = SKMBSGD_CACHE_LINE - sizeof(int64_t) };

/* A cache line of numbers and the number of their round. A reader that finds the round
   also has the numbers, and does not wait for another line to know that they have
   arrived. */
typedef struct {
    char bytes[SKMBSGD_BYTES_OF_PACKET];
    int64_t round;
} skmbsgd_packet;

/* The last packet may have fewer bytes than the others. */
static inline void skmbsgd_fill_packet(
    skmbsgd_packet *packet, const void *numbers, size_t n_bytes, int64_t round)
{
    memcpy(packet->bytes, numbers, n_bytes);
    SKMBSGD_PUBLISH(&packet->round, round);
}

/* Add the numbers of a packet to as many sums. */
#define SKMBSGD_DEFINE_ADD_PACKET(REAL) \
    static inline void skmbsgd_add_packet_##REAL( \
        REAL *sums, const skmbsgd_packet *packet, size_t n_bytes) \
    { \
        REAL numbers[SKMBSGD_BYTES_OF_PACKET / sizeof(REAL)]; \
        size_t i; \
        memcpy(numbers, packet->bytes, n_bytes); \
        for (i = 0; i < n_bytes / sizeof(REAL); i++) \
            sums[i] += numbers[i]; \
    }
SKMBSGD_DEFINE_ADD_PACKET(double)
SKMBSGD_DEFINE_ADD_PACKET(float)
#undef SKMBSGD_DEFINE_ADD_PACKET

#endif
