/* Atomic loads, stores and fences on plain shared words; the only place that spells them.
 *
 * Under PIPELINE_RACE (the ThreadSanitizer build) shared data are copied as relaxed atomic
 * words, because the readers of a ring or a cell read what may be overwritten meanwhile and
 * find out afterwards: by the letter of C11 that is a race unless the words are atomic.
 */
#ifndef PIPELINE_ATOMICS_H
#define PIPELINE_ATOMICS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t load_relaxed(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline uint64_t load_acquire(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void store_relaxed(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
static inline void store_release(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static inline uint32_t load_acquire_u32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline uint32_t load_relaxed_u32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline void store_relaxed_u32(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
static inline void add_release_u32(uint32_t *word, uint32_t value) { __atomic_fetch_add(word, value, __ATOMIC_RELEASE); }

static inline int compare_and_swap(uint64_t *word, uint64_t expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

#if defined(__SANITIZE_THREAD__)
/* ThreadSanitizer does not model fences. An atomic read-modify-write on a dummy orders the
 * same way on the machines that we run it on, and keeps its happens-before graph complete. */
static uint64_t fence_dummy;
static inline void fence_release(void) { __atomic_fetch_add(&fence_dummy, 0, __ATOMIC_SEQ_CST); }
static inline void fence_acquire(void) { __atomic_fetch_add(&fence_dummy, 0, __ATOMIC_SEQ_CST); }
static inline void fence_full(void) { __atomic_fetch_add(&fence_dummy, 0, __ATOMIC_SEQ_CST); }
#else
static inline void fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline void fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#endif

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* From this size on memcpy may store past the cache (glibc's lowest threshold is a little more),
 * and such stores overtake earlier ones on x86, whose release fence is no instruction at all. */
#define SHARED_WRITE_STREAMING_BYTES 16384

/* Compilers copy a constant size inline, through the baseline's 16-byte registers. From this size
 * on the library's memcpy, which takes the widest that the processor has, is worth its call. */
#define SHARED_COPY_CALL_BYTES 128
#define SHARED_COPY_BY_CALL(bytes) \
    do { if (__builtin_constant_p(bytes) && (bytes) >= SHARED_COPY_CALL_BYTES) __asm__("" : "+r"(bytes)); } while (0)

/* Copy private bytes into shared memory, after all that was stored before. */
static inline void shared_write(void *shared, const void *source, size_t bytes)
{
#ifdef PIPELINE_RACE
    uint8_t *to = shared;
    const uint8_t *from = source;
    while (bytes >= 8 && ((uintptr_t)to & 7) == 0) {
        uint64_t word;
        memcpy(&word, from, 8);
        __atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELAXED);
        to += 8, from += 8, bytes -= 8;
    }
    while (bytes--) __atomic_store_n(to++, *from++, __ATOMIC_RELAXED);
#else
    if (bytes >= SHARED_WRITE_STREAMING_BYTES) fence_full();
    SHARED_COPY_BY_CALL(bytes);
    memcpy(shared, source, bytes);
#endif
}

/* Copy shared bytes into private memory; the caller checks afterwards whether they held still. */
static inline void shared_read(void *target, const void *shared, size_t bytes)
{
#ifdef PIPELINE_RACE
    uint8_t *to = target;
    const uint8_t *from = shared;
    while (bytes >= 8 && ((uintptr_t)from & 7) == 0) {
        uint64_t word = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);
        memcpy(to, &word, 8);
        to += 8, from += 8, bytes -= 8;
    }
    while (bytes--) *to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
#else
    SHARED_COPY_BY_CALL(bytes);
    memcpy(target, shared, bytes);
#endif
}

/* value % divisor; by 32-bit numbers where they are, because a 64-bit division costs up to three
 * times as much, and a frame takes several. */
static inline uint64_t remainder_of(uint64_t value, uint64_t divisor)
{
    if ((value | divisor) >> 32) return value % divisor;
    return (uint32_t)value % (uint32_t)divisor;
}

static inline uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

#endif
