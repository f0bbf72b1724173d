// Writes the small part of CBOR that codes use, in its only spelling (RFC 8949 section 4.2.1).

import { concat, utf8 } from "./bytes.js";

function head(kind, argument) {
  const top = kind << 5;
  if (argument < 24) return Uint8Array.of(top | argument);
  if (argument < 0x100) return Uint8Array.of(top | 24, argument);
  if (argument < 0x10000) return Uint8Array.of(top | 25, argument >> 8, argument & 255);
  const bytes = new Uint8Array(5);
  bytes[0] = top | 26;
  new DataView(bytes.buffer).setUint32(1, argument);
  return bytes;
}

/**
 * The bytes of one item: a whole number of 0 to 2^32 - 1, a Uint8Array, a string, an array, or a
 * Map of such numbers to items, which is written with its keys in ascending order.
 */
export function encode(item) {
  if (Number.isInteger(item) && item >= 0 && item < 2 ** 32) return head(0, item);
  if (item instanceof Uint8Array) return concat(head(2, item.length), item);
  if (typeof item === "string") {
    const text = utf8(item);
    return concat(head(3, text.length), text);
  }
  if (Array.isArray(item)) return concat(head(4, item.length), ...item.map(encode));
  if (item instanceof Map) {
    const members = [...item].sort(([left], [right]) => left - right);
    return concat(head(5, members.length), ...members.flat().map(encode));
  }
  throw new TypeError("not an item that codes use");
}
