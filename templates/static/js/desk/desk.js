// The desk as a caller: its key in this browser, its sign-in, and calls with a Desk-Proof.

import { makeApi } from "../common/api.js";
import { makeClock } from "../common/clock.js";
import { generateKey } from "../common/keys.js";
import { proofIn } from "../common/proofs.js";

export const COUNTER = "/api/counter/v1";

/** Opens the desk on what `store` keeps. The session's token itself is out of the page's reach. */
export async function openDesk({ store, publicUrl }) {
  const clock = makeClock({
    offset: (await store.get("clock_offset")) ?? 0,
    onChange: (offset) => store.put("clock_offset", offset),
  });
  const api = makeApi({ publicUrl, clock, prove: proofIn("Desk-Proof") });
  let key = await store.get("desk_key");
  let desk = await store.get("desk");
  let ath = await store.get("session_hash");

  return {
    isEnrolled: () => Boolean(key),
    desk: () => desk,

    /** Makes a fresh key and enrols it; the key is kept only when the code was good. */
    async enrol(enrolmentCode) {
      const fresh = await generateKey();
      const body = { enrolment_code: enrolmentCode };
      const answer = await api.call("POST", `${COUNTER}/desk-keys`, { key: fresh, body });
      key = fresh;
      desk = answer.desk;
      await store.put("desk_key", key);
      await store.put("desk", desk);
    },

    async signIn(credentials) {
      const answer = await api.call("POST", `${COUNTER}/sessions`, { key, body: credentials });
      ath = answer.session_hash;
      await store.put("session_hash", ath);
    },

    /** One call of the signed-in desk, under the API's part `part`. */
    call: (method, path, { part = COUNTER, ...options } = {}) =>
      api.call(method, part + path, { ...options, key, ath }),
    hasSession: () => Boolean(ath),

    async endSession() {
      ath = undefined;
      await store.remove("session_hash");
    },
  };
}
