// Makes the rotating code on the phone itself, as docs/code-format.md lays it down.

import { encodeBase45 } from "./base45.js";
import { concat, randomBytes } from "./bytes.js";
import { encode } from "./cbor.js";
import { sign } from "./keys.js";

export const SCENES = { id: 1, pay: 2, bus: 4, door: 8, library: 16, check_in: 32 };
export const ALL_SCENES = 63;

/** What a scanner typed, whatever the keyboard made of it: wide letters, small letters, line ends. */
export const cleanCode = (text) => text.normalize("NFKC").trim().toUpperCase();

const PROTECTED = Uint8Array.of(0xa1, 0x01, 0x26); // {1: -7}, ES256
const ARRAY_OF_TWO = Uint8Array.of(0x82);

/**
 * The text of one code. `grant` is the grant's encoded COSE_Sign1 item, `privateKey` the key the
 * grant was issued to, `issuedAt` whole seconds since the epoch, `scenes` a bit set of SCENES.
 */
export async function makeCode({ grant, privateKey, issuedAt, scenes, nonce = randomBytes(6) }) {
  const payload = encode(
    new Map([
      [6, issuedAt],
      [11, scenes],
      [12, nonce],
    ]),
  );
  // The grant is the external data: a presentation is worth nothing behind another grant.
  const signature = await sign(privateKey, encode(["Signature1", PROTECTED, grant, payload]));
  const presentation = encode([PROTECTED, new Map(), payload, signature]);
  return `VP1:${encodeBase45(concat(ARRAY_OF_TWO, grant, presentation))}`;
}
