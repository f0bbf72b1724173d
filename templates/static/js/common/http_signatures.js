// Signs requests as machines do: HTTP message signatures (RFC 9421), docs/http-signatures.md.

import { randomBytes, sha256, toBase64, toBase64url, utf8 } from "./bytes.js";
import { sign } from "./keys.js";

/**
 * The headers that sign one request with a P-256 key: Signature-Input, Signature and, with a body,
 * Content-Digest. `url` is absolute, with its query; `text` is the body exactly as it will be sent.
 */
export async function signRequest({ key, method, url, text, idempotencyKey, issuedAt }) {
  const headers = {};
  const covered = [
    ["@method", method],
    ["@target-uri", url],
  ];
  if (text !== undefined) {
    headers["Content-Digest"] = `sha-256=:${toBase64(await sha256(utf8(text)))}:`;
    covered.push(["content-digest", headers["Content-Digest"]], ["content-type", "application/json"]);
  }
  if (idempotencyKey) covered.push(["idempotency-key", idempotencyKey]);
  const names = covered.map(([name]) => `"${name}"`).join(" ");
  const nonce = toBase64url(randomBytes(16));
  const parameters =
    `(${names});created=${issuedAt};keyid="${key.thumbprint}";nonce="${nonce}"` +
    `;alg="ecdsa-p256-sha256"`;
  const lines = covered.map(([name, value]) => `"${name}": ${value}`);
  const base = [...lines, `"@signature-params": ${parameters}`].join("\n");
  headers["Signature-Input"] = `vpass=${parameters}`;
  headers.Signature = `vpass=:${toBase64(await sign(key.privateKey, utf8(base)))}:`;
  return headers;
}
