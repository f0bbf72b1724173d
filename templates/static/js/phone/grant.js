// The day's grant: asked for with a fresh key each time, renewed well before it runs out.

import { fromBase64url } from "../common/bytes.js";
import { generateKey } from "../common/keys.js";
import { makeGrantRequest } from "../common/proofs.js";

const PATH = "/grants";
const RETRY_MS = 20000;

/**
 * Keeps a grant in `store`; `onChange` hears of a new one or of a Problem in getting it. A grant of
 * somebody for whom the resident acts is kept in memory only.
 */
export async function openGrant({ session, store, onChange }) {
  let grant = (await store.get("grant")) ?? null;
  let asking = null;
  let notBefore = 0;
  let isUsed = false;
  let onBehalfOf = null;
  let own = null;

  const isGood = () => grant !== null && grant.expiresAt > session.clock.now();
  // Renewed in the second half of its life: a phone without network then still has hours.
  const isFresh = () =>
    isGood() && !isUsed && session.clock.now() - grant.receivedAt < (grant.expiresAt - grant.receivedAt) / 2;

  async function ask() {
    const asked = onBehalfOf;
    const fresh = await generateKey();
    const url = `${session.publicUrl}/api/resident/v1${PATH}`;
    const key = await session.deviceKey();
    const body = async () => ({
      request: await makeGrantRequest({
        key,
        url,
        grantJwk: fresh.jwk,
        issuedAt: session.clock.seconds() - 1,
        onBehalfOf: asked,
      }),
    });
    const answer = await session.call("POST", PATH, { body, idempotencyKey: crypto.randomUUID() });
    if (asked !== onBehalfOf) return; // the resident has chosen another meanwhile
    isUsed = false;
    grant = {
      encoded: fromBase64url(answer.grant),
      privateKey: fresh.privateKey,
      receivedAt: session.clock.now(),
      expiresAt: Date.parse(answer.expires_at),
      rotateEveryMs: answer.rotate_every_s * 1000,
    };
    if (!asked) await store.put("grant", grant);
  }

  return {
    /** The grant that is good now, or null. */
    current: () => (isGood() ? grant : null),
    forget: () => (grant = null),
    /** Asks for a grant when it is time to, once at a time and not in a storm. */
    keepFresh() {
      if (asking || isFresh() || Date.now() < notBefore) return;
      asking = ask()
        .then(
          () => onChange(null),
          (error) => {
            if (!error.code) throw error;
            notBefore = Date.now() + Math.max(RETRY_MS, error.retryAfter * 1000);
            onChange(error);
          },
        )
        .finally(() => (asking = null));
    },
    /** A scanner has seen this grant: the next use is to have another, so nobody can compare. */
    spend: () => (isUsed = true),
    /** Goes over to the grant of somebody for whom the resident acts, or (null) back to the own. */
    actFor(delegationId) {
      if (!onBehalfOf) own = grant;
      onBehalfOf = delegationId;
      grant = delegationId ? null : own;
      notBefore = 0;
    },
    /** Lets the next keepFresh ask at once: the network came back, or the page was opened. */
    hurry: () => (notBefore = 0),
  };
}
