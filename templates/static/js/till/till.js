// The till as a caller: a machine key of this browser's own, and requests signed with it.

import { makeApi } from "../common/api.js";
import { makeClock } from "../common/clock.js";
import { signRequest } from "../common/http_signatures.js";
import { generateKey } from "../common/keys.js";

const BASE = "/api/merchant/v1";

/** Opens the till on what `store` keeps. */
export async function openTill({ store, publicUrl }) {
  const clock = makeClock({
    offset: (await store.get("clock_offset")) ?? 0,
    onChange: (offset) => store.put("clock_offset", offset),
  });
  const api = makeApi({ publicUrl, clock, prove: signRequest });
  let key = await store.get("till_key");
  let till = await store.get("till");

  return {
    isEnrolled: () => Boolean(key),
    till: () => till,

    /** Makes a fresh key and enrols it; the key is kept only when the code was good. */
    async enrol(enrolmentCode) {
      const fresh = await generateKey();
      const body = { enrolment_code: enrolmentCode, jwk: fresh.jwk };
      const answer = await api.call("POST", `${BASE}/till-keys`, { key: fresh, body });
      key = fresh;
      till = answer.machine;
      await store.put("till_key", key);
      await store.put("till", till);
    },

    call: (method, path, options = {}) => api.call(method, BASE + path, { ...options, key }),
  };
}
