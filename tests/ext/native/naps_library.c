/* The naps of bell.h as a library: when a waiter wakes up by itself, for tests with a made-up clock. */
#include "bell.h"

uint64_t proof_naps_bytes(void) { return sizeof(Naps); }
void proof_note_ring(Naps *naps, int64_t now_mono_ns) { naps_note_ring(naps, now_mono_ns); }

int64_t proof_slice(const Naps *naps, int64_t now_mono_ns, int64_t left_ns)
{
    return naps_slice(naps, now_mono_ns, left_ns);
}
