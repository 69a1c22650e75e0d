/* The histogram header as a library, for a comparison with an independent implementation. */
#include "histogram.h"

uint32_t proof_bucket(uint64_t value) { return histogram_bucket(value); }
uint64_t proof_bucket_value_max(uint32_t bucket) { return histogram_bucket_value_max(bucket); }
uint64_t proof_histogram_bytes(void) { return sizeof(HistogramC); }
double proof_quantile(const HistogramC *histogram, double quantile) { return (double)histogram_quantile(histogram, quantile); }

void proof_record(HistogramC *histogram, const uint64_t *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) histogram_record(histogram, values[i]);
}
