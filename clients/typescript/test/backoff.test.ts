import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/backoff.js";

const OPTIONS = { firstMs: 500, mostMs: 30_000, resetAfterMs: 10_000 };

test("bounds double up to the most, and a healthy life begins anew", () => {
  const backoff = new Backoff(OPTIONS, () => 1);
  const bounds = Array.from({ length: 8 }, () => backoff.next(0));
  assert.deepEqual(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(backoff.next(9_999), 30_000);
  assert.equal(backoff.next(10_000), 500);
});

test("pauses are anywhere below the bound", () => {
  assert.equal(new Backoff(OPTIONS, () => 0).next(0), 0);
  assert.equal(new Backoff(OPTIONS, () => 0.5).next(0), 250);
});
