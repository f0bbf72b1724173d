// Keys of this browser: P-256, made by WebCrypto and never to be taken out, and their signatures.

import { sha256, toBase64url, utf8 } from "./bytes.js";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** A fresh key: {privateKey, jwk, thumbprint}; it can be kept in IndexedDB as it is. */
export async function generateKey() {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const jwk = { kty, crv, x, y };
  return { privateKey: pair.privateKey, jwk, thumbprint: await thumbprint(jwk) };
}

/** The base64url SHA-256 thumbprint of a public P-256 JWK (RFC 7638). */
export async function thumbprint({ crv, kty, x, y }) {
  return toBase64url(await sha256(utf8(JSON.stringify({ crv, kty, x, y }))));
}

/** The 64 bytes r||s over `data`; s lies in the lower half, as the city's verifiers demand. */
export async function sign(privateKey, data) {
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, data);
  return withLowS(new Uint8Array(signature));
}

/** The same signature with the lower of its two possible values of s. */
export function withLowS(signature) {
  const s = signature.subarray(32).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  if (s <= ORDER >> 1n) return signature;
  const low = new Uint8Array(signature);
  let rest = ORDER - s;
  for (let at = 63; at >= 32; at -= 1) {
    low[at] = Number(rest & 255n);
    rest >>= 8n;
  }
  return low;
}
