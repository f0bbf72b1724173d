// Proofs that this browser holds its key: DPoP (RFC 9449), token assertions, grant requests.

import { randomBytes, sha256, toBase64url, utf8 } from "./bytes.js";
import { sign } from "./keys.js";

const part = (value) => toBase64url(utf8(JSON.stringify(value)));
const jti = () => toBase64url(randomBytes(16));

/** A compact JWS of `claims`, signed ES256 with `key`. */
async function encodeJws(header, claims, key) {
  const signed = `${part({ ...header, alg: "ES256" })}.${part(claims)}`;
  return `${signed}.${toBase64url(await sign(key.privateKey, utf8(signed)))}`;
}

/** base64url SHA-256 of a token: the `ath` of RFC 9449. */
export const tokenHash = async (token) => toBase64url(await sha256(utf8(token)));

/** The proof for one request; `ath` is left out where there is no token yet. */
export function makeProof({ key, method, url, ath, issuedAt }) {
  const claims = { jti: jti(), htm: method, htu: url, iat: issuedAt, ...(ath ? { ath } : {}) };
  return encodeJws({ typ: "dpop+jwt", jwk: key.jwk }, claims, key);
}

/** For makeApi: a proof for each request, in the header `name`. */
export const proofIn =
  (name) =>
  async ({ key, method, url, ath, issuedAt }) => ({
    [name]: await makeProof({ key, method, url: url.split("?")[0], ath, issuedAt }),
  });

/** The assertion by which a bound phone asks for a new access token. */
export function makeAssertion({ key, url, issuedAt }) {
  const claims = {
    iss: key.thumbprint,
    sub: key.thumbprint,
    aud: url,
    iat: issuedAt,
    exp: issuedAt + 60,
    jti: jti(),
  };
  return encodeJws({ typ: "vpass-token+jwt" }, claims, key);
}

/** The device key's request for a grant to the fresh key `grantJwk`. */
export function makeGrantRequest({ key, url, grantJwk, issuedAt, onBehalfOf = null }) {
  const claims = { aud: url, iat: issuedAt, jti: jti(), cnf: { jwk: grantJwk } };
  if (onBehalfOf) claims.on_behalf_of = onBehalfOf;
  return encodeJws({ typ: "vpass-grant+jwt" }, claims, key);
}

/** The device key's word for a payment as the API shows it; `url` is where it is sent. */
export function makeConfirmation({ key, url, payment, issuedAt }) {
  const claims = {
    aud: url,
    iat: issuedAt,
    jti: jti(),
    order: payment.id,
    payee: payment.payee.id,
    amount_fen: payment.amount_fen,
  };
  return encodeJws({ typ: "vpass-confirm+jwt" }, claims, key);
}

/** The device key's word over what the page has shown: `claims`, for the route at `url`. */
export function makeWord({ key, url, typ, claims, issuedAt }) {
  return encodeJws({ typ }, { ...claims, aud: url, iat: issuedAt, jti: jti() }, key);
}
