/* libFuzzer target: any bytes as a frame, any position, rings down to one record.
 *
 * Input: capacity u8 | flags u8 (1: assigned tokens only, 2: take up at a position, 4: no vector
 * instructions, 8: of the assigned, two frames on several connections, the second at offset) | position u16 index, u16 offset | frame.
 */
#include "kite_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two frames, by turns on three connections, of instruments that all of them have. */
static void decode_shared(KiteRig *rig, const uint8_t *frames, size_t bytes, size_t cut) {
    if (cut > bytes) cut = bytes;
    rig_share(rig);
    for (uint32_t turn = 0; turn < 6; turn++) {
        rig->connection = (uint16_t)(turn % 3);
        if (turn & 1) rig_decode(rig, frames + cut, bytes - cut, 0, 0);
        else rig_decode(rig, frames, cut, 0, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    KiteRig rig;
    if (size < 6) return 0;
    rig_open(&rig, data[0] + 1u, data[1] & 1, (data[1] & 4) != 0);
    if ((data[1] & 9) == 9) {
        decode_shared(&rig, data + 6, size - 6, read_be16(data + 4));
    } else {
        uint32_t index = data[1] & 2 ? read_be16(data + 2) : 0;
        uint32_t offset = data[1] & 2 ? read_be16(data + 4) : 0;
        rig_decode(&rig, data + 6, size - 6, index, offset);
        rig_decode(&rig, data + 6, size - 6, 0, 0);
    }
    rig_close(&rig);
    return 0;
}
