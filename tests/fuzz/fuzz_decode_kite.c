/* libFuzzer target: any bytes as a frame, any position, rings down to one record.
 *
 * Input: capacity u8 | flags u8 (1: assigned tokens only, 2: take up at a position, 4: no vector
 * instructions) | position u16 index, u16 offset | frame.
 */
#include "kite_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    KiteRig rig;
    if (size < 6) return 0;
    rig_open(&rig, data[0] + 1u, data[1] & 1, (data[1] & 4) != 0);
    uint32_t index = data[1] & 2 ? read_be16(data + 2) : 0;
    uint32_t offset = data[1] & 2 ? read_be16(data + 4) : 0;
    rig_decode(&rig, data + 6, size - 6, index, offset);
    rig_decode(&rig, data + 6, size - 6, 0, 0);
    rig_close(&rig);
    return 0;
}
