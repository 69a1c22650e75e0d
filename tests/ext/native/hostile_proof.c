/* Hostile contents: rings, streams, cells and histograms full of random or slightly wrong words,
 * in maps that end where the sanitizer's forbidden zone begins. A reader may be told nonsense; it
 * must end, and never leave its map. Nor may the heir who appends to what a dead writer left.
 */
#include "proof.h"
#include "histogram.h"
#include "ring.h"
#include "stream.h"

enum { ROUNDS, SEED, DEADLINE };
static Option options[] = {{"rounds", 20000}, {"seed", 1}, {"deadline", 100}, {0, 0}};
#define OPTION(name) (options[name].value)

static uint64_t random_state, viewed, read_out;
static volatile uint64_t sink;

/* Words that break things: near zero, near a limit, near the top, or anything. */
static uint64_t hostile_word(uint64_t limit)
{
    uint64_t choice = random_next(&random_state), little = choice >> 32 & 15;
    switch (choice % 8) {
    case 0: return little;
    case 1: return UINT64_MAX - little;
    case 2: return (1ull << 32) - 8 + little;
    case 3: return (1ull << 63) - 8 + little;
    case 4: return limit - 8 + little;
    case 5: return limit;
    case 6: return limit ? random_next(&random_state) % limit : 0;
    default: return random_next(&random_state);
    }
}

static uint8_t *hostile_map(uint64_t bytes, uint64_t capacity, uint64_t area_bytes, uint32_t record_size)
{
    uint8_t *map = malloc(bytes);
    for (uint64_t at = 0; at + 8 <= bytes; at += 8) {
        uint64_t word = hostile_word(bytes);
        memcpy(map + at, &word, 8);
    }
    if (bytes >= DATA_OFFSET) {
        SegmentHeaderC *header = (SegmentHeaderC *)(void *)map;
        header->capacity = capacity;
        header->area_bytes = area_bytes;
        header->record_size = record_size;
    }
    return map;
}

static void touch(const uint8_t *bytes, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++) sink += bytes[i];
    read_out += length;
}

static void read_ring(const FrameRing *ring)
{
    FrameRingReader reader = {.ring = *ring, .cursor = hostile_word(ring->capacity)};
    for (int i = 0; i < 8; i++) {
        FrameDescriptorC descriptor;
        const uint8_t *bytes;
        switch (frame_ring_peek(&reader, &descriptor, &bytes)) {
        case RING_READY: touch(bytes, descriptor.length); reader.cursor++; break;
        case RING_LAPPED: {
            uint64_t resume = ring_resume_sequence(ring->control, ring->capacity, reader.cursor);
            REQUIRE(resume > reader.cursor, "a lapped reader stands still");
            reader.cursor = resume;
            break;
        }
        default: reader.cursor = hostile_word(ring->control->tail); break;
        }
    }
}

static void inherit_ring(const FrameRing *ring)
{
    FrameRingWriter writer;
    uint64_t length = hostile_word(frame_ring_message_bytes_max(ring));
    frame_ring_writer_open(&writer, ring);
    for (int i = 0; i < 4; i++) {
        uint8_t *target = frame_ring_reserve(&writer, length);
        if (target) memset(target, 1, length);
        frame_ring_append_state(&writer, 1, 2, 3, 4, 5, 6);
    }
}

static void try_ring(void)
{
    uint64_t capacity = 2 + random_next(&random_state) % 40, area_bytes = 64 + 8 * (random_next(&random_state) % 60);
    uint64_t bytes = DATA_OFFSET + frame_ring_data_bytes(capacity, area_bytes);
    FrameRing ring;
    uint8_t *map;
    if (random_next(&random_state) % 2) {
        uint64_t choice = random_next(&random_state) % 4;
        if (choice == 0) capacity = hostile_word(bytes);
        if (choice == 1) area_bytes = hostile_word(bytes);
        if (choice == 2) capacity = hostile_word(bytes), area_bytes = hostile_word(bytes);
        if (choice == 3) bytes = random_next(&random_state) % (bytes + 1);
    }
    map = hostile_map(bytes, capacity, area_bytes, 0);
    if (frame_ring_view(&ring, map, bytes)) {
        viewed++;
        read_ring(&ring);
        inherit_ring(&ring);
        read_ring(&ring);
    }
    free(map);
}

/* The longest way from oldest to tail that a segment can claim; an heir must not walk it. */
static void try_endless(void)
{
    uint64_t capacity = 5, area_bytes = 64, bytes = DATA_OFFSET + frame_ring_data_bytes(capacity, area_bytes);
    uint8_t *map = calloc(1, bytes);
    SegmentHeaderC *header = (SegmentHeaderC *)(void *)map;
    FrameRing ring;
    header->capacity = capacity, header->area_bytes = area_bytes;
    REQUIRE(frame_ring_view(&ring, map, bytes), "a header that fits is refused");
    ring.control->tail = UINT64_MAX;
    /* A last message that claims to be longer than the area puts every descriptor in the way. */
    ring.index[(UINT64_MAX - 1) % capacity].position = 3 * area_bytes;
    ring.index[(UINT64_MAX - 1) % capacity].length = (uint32_t)(2 * area_bytes);
    inherit_ring(&ring);
    free(map);
}

static void read_stream(const Stream *stream)
{
    uint8_t *target = malloc(stream->capacity * stream->record_size);
    for (int i = 0; i < 4; i++) {
        uint64_t cursor = hostile_word(stream->capacity), tail = load_acquire(&stream->control->tail);
        if (stream_copy(stream, cursor, tail - cursor, target)) read_out += tail - cursor;
        stream_copy(stream, cursor, stream->capacity, target);
        sink += ring_resume_sequence(stream->control, stream->capacity, cursor);
        stream->control->tail = hostile_word(stream->capacity);
    }
    free(target);
    if (stream->commit) {
        CommitC commit;
        uint64_t version;
        REQUIRE(cell_try_read(stream->commit, &commit, sizeof commit, &version), "a cell at rest cannot be read");
        sink += commit.source_sequence;
    }
}

static void try_stream(void)
{
    int with_commit = (int)(random_next(&random_state) % 2);
    uint32_t record_size = with_commit ? sizeof(TickC) : sizeof(EventC);
    uint64_t capacity = 2 * UNIT_RECORDS + random_next(&random_state) % 9;
    uint64_t bytes = DATA_OFFSET + stream_data_bytes(capacity, record_size, with_commit);
    Stream stream;
    uint8_t *map;
    if (random_next(&random_state) % 4 == 0) capacity = hostile_word(bytes);
    if (random_next(&random_state) % 4 == 0) record_size = (uint32_t)hostile_word(record_size);
    if (random_next(&random_state) % 4 == 0) bytes = random_next(&random_state) % (bytes + 1);
    map = hostile_map(bytes, capacity, 0, record_size);
    if (stream_view(&stream, map, bytes, with_commit)) {
        viewed++;
        read_stream(&stream);
    }
    free(map);
}

static void try_histogram(void)
{
    HistogramC *histogram = (HistogramC *)(void *)hostile_map(sizeof(HistogramC), 0, 0, 0);
    double quantile = (double)(random_next(&random_state) % 1001) / 1000;
    REQUIRE(histogram_bucket(hostile_word(1ull << 37)) < HISTOGRAM_BUCKETS, "a bucket beyond the last");
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) histogram->counts[i] >>= random_next(&random_state) % 64;
    sink += histogram_quantile(histogram, quantile);
    histogram_record(histogram, hostile_word(1ull << 37));
    free(histogram);
}

int main(int count, char **words)
{
    parse_options(count, words, options);
    set_deadline((unsigned)OPTION(DEADLINE));
    random_state = mix(OPTION(SEED));
    try_endless();
    for (uint64_t round = 0; round < OPTION(ROUNDS); round++) {
        try_ring();
        if (round % 16 == 0) try_stream(); /* its maps are large */
        if (round % 16 == 1) try_histogram();
    }
    printf("{\"rounds\": %llu, \"viewed\": %llu, \"bytes\": %llu}\n", (unsigned long long)OPTION(ROUNDS),
           (unsigned long long)viewed, (unsigned long long)read_out);
    return 0;
}
