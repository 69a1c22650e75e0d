/* The vector division against the processor's own, for 32-bit integers and each divisor.
 *
 *   division_proof path=... stride=N    every Nth integer, and all near the ends and zero
 *
 * stride=1 tries every integer. Prints how many quotients were compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kite_avx512.h"

#define NEAR 4096

#ifdef KITE_HAS_AVX512
static const uint32_t SEGMENTS[] = {1, KITE_CDS, KITE_NCO};

/* Compare eight neighbours from x on; returns 0 if one bit differs. */
KITE_AVX512 static int agree(uint32_t x, const KiteScale *scale) {
    __m256i integers = _mm256_add_epi32(_mm256_set1_epi32((int)x), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m512d exact = _mm512_div_pd(_mm512_cvtepi32_pd(integers), _mm512_set1_pd(scale->divisor));
    __m512i ours = _mm512_castpd_si512(kite_divide(integers, scale));
    return _mm512_cmpneq_epi64_mask(ours, _mm512_castpd_si512(exact)) == 0;
}

static void check(uint32_t x, const KiteScale *scale) {
    if (agree(x, scale)) return;
    fprintf(stderr, "near %d, divided by %g: not the exact quotient\n", (int32_t)x, scale->divisor);
    exit(1);
}

KITE_AVX512 static unsigned long long check_segment(const KiteScale *scale, uint64_t stride) {
    static const uint32_t EDGES[] = {0, 0x80000000u, 0xffffffffu - NEAR};
    unsigned long long compared = 0;
    for (uint64_t x = 0; x <= UINT32_MAX; x += 8 * stride, compared += 8) check((uint32_t)x, scale);
    for (int edge = 0; edge < 3; edge++)
        for (uint32_t near = 0; near < NEAR; near += 8, compared += 8) check(EDGES[edge] + near, scale);
    return compared;
}
#endif

int main(int argc, char **argv) {
    unsigned long long compared = 0;
    uint64_t stride = 1;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "stride=", 7) == 0) stride = strtoull(argv[i] + 7, NULL, 10);
    if (stride == 0) return 2;
#ifdef KITE_HAS_AVX512
    if (kite_cpu_has_avx512())
        for (int n = 0; n < 3; n++) compared += check_segment(kite_scale(SEGMENTS[n]), stride);
#endif
    printf("{\"compared\": %llu}\n", compared);
    return 0;
}
