// What is known of one instrument: the newest tick, what it was before, and when it came.

export const emptyRecord = () => ({ data: {}, mode: 0, before: null, heard: 0, count: 0 });

/**
 * Take in a tick. Fields that it lacks stay as they were for as long as ticks come in its mode; when
 * less is asked for they go: a depth of minutes ago beside a price of now would look as new as it.
 */
export function takeTick(record, { data, mode }, now) {
  if (typeof data.ltp === "number" && data.ltp !== record.data.ltp) {
    record.before = record.data.ltp ?? null;
  }
  record.data = mode === record.mode ? { ...record.data, ...data } : { ...data };
  record.mode = mode;
  record.heard = now;
  record.count += 1;
}
