/* A log-linear histogram of nanoseconds in shared memory: one writer, read from anywhere.
 *
 * Values below 128 have a bucket each; above, every power of two is cut into 64 equal buckets,
 * so that a percentile is at most 1/64 (1.6 %) too high. The last bucket takes all that is
 * longer than about 136 s.
 */
#ifndef PIPELINE_HISTOGRAM_H
#define PIPELINE_HISTOGRAM_H

#include "atomics.h"
#include "layout.h"

static inline uint32_t histogram_bucket(uint64_t value)
{
    uint32_t exponent, bucket;
    if (value < 128) return (uint32_t)value;
    exponent = 63u - (uint32_t)__builtin_clzll(value) - 6u;
    if (exponent > 30) return HISTOGRAM_BUCKETS - 1;
    bucket = exponent * 64u + (uint32_t)(value >> exponent);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into a bucket. */
static inline uint64_t histogram_bucket_value_max(uint32_t bucket)
{
    uint32_t exponent;
    if (bucket < 128) return bucket;
    exponent = bucket / 64 - 1;
    return ((uint64_t)(bucket - exponent * 64u + 1) << exponent) - 1;
}

static inline void histogram_record(HistogramC *histogram, uint64_t value)
{
    uint64_t *count = &histogram->counts[histogram_bucket(value)];
    store_relaxed(count, *count + 1);
    store_relaxed(&histogram->sum, histogram->sum + value);
    if (value > histogram->max) store_relaxed(&histogram->max, value);
    store_release(&histogram->total, histogram->total + 1);
}

/* The value at or below which `quantile` of the samples lie; 0 without samples. */
static inline uint64_t histogram_quantile(const HistogramC *histogram, double quantile)
{
    uint64_t total = 0, wanted, seen = 0, max = load_relaxed(&histogram->max);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) total += load_relaxed(&histogram->counts[i]);
    if (!total) return 0;
    wanted = (uint64_t)(quantile * (double)total + 0.5);
    if (wanted < 1) wanted = 1;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += load_relaxed(&histogram->counts[i]);
        if (seen >= wanted) {
            uint64_t value = histogram_bucket_value_max(i);
            return value < max && i < HISTOGRAM_BUCKETS - 1 ? value : max;
        }
    }
    return max;
}

#endif
