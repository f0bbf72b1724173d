// The phone as a caller: its key, its access token, and calls that renew the token by themselves.

import { makeApi, Problem } from "../common/api.js";
import { makeClock } from "../common/clock.js";
import { generateKey } from "../common/keys.js";
import { makeAssertion, makeWord, proofIn, tokenHash } from "../common/proofs.js";

const BASE = "/api/resident/v1";
const SPARE_MS = 30000;

/** Opens the phone's session on what `store` keeps; `onLost` hears that its key is refused. */
export async function openSession({ store, publicUrl, onLost }) {
  const clock = makeClock({
    offset: (await store.get("clock_offset")) ?? 0,
    onChange: (offset) => store.put("clock_offset", offset),
  });
  const api = makeApi({ publicUrl, clock, prove: proofIn("DPoP") });
  let key = await store.get("device_key");
  let token = await store.get("token");
  let renewing = null;

  async function deviceKey() {
    if (!key) {
      key = await generateKey();
      await store.put("device_key", key);
    }
    return key;
  }

  async function keepToken(answer) {
    token = {
      value: answer.access_token,
      ath: await tokenHash(answer.access_token),
      expiresAt: clock.now() + answer.expires_in * 1000,
    };
    await store.put("token", token);
    await store.put("level", answer.resident.level);
  }

  async function renew() {
    const path = `${BASE}/tokens`;
    const holder = await deviceKey();
    const url = publicUrl + path;
    const body = async () => ({
      assertion: await makeAssertion({ key: holder, url, issuedAt: clock.seconds() - 1 }),
    });
    await keepToken(await api.call("POST", path, { key: holder, body }));
  }

  /** One renewal at a time, however many calls wait for it. */
  function renewOnce() {
    renewing ??= renew().finally(() => (renewing = null));
    return renewing;
  }

  return {
    clock,
    publicUrl,
    deviceKey,
    keepToken,
    renew: renewOnce,
    isEnrolled: async () => Boolean(await store.get("token")),

    /** A call before there is a token: the key alone speaks for itself. */
    async introduce(method, path, body) {
      return api.call(method, BASE + path, { key: await deviceKey(), body });
    },

    /** A call of the resident's own. */
    async call(method, path, options = {}) {
      const holder = await deviceKey();
      const send = () =>
        api.call(method, BASE + path, { ...options, key: holder, token: token.value, ath: token.ath });
      try {
        if (!token || token.expiresAt - SPARE_MS < clock.now()) await renewOnce();
        try {
          return await send();
        } catch (error) {
          if (!(error instanceof Problem) || error.status !== 401) throw error;
          await renewOnce();
          return await send();
        }
      } catch (error) {
        if (error.code === "token.assertion_refused") onLost();
        throw error;
      }
    },

    /** A call whose body is the phone's own signature over `claims`, under the name `member`. */
    async callSigned(path, { typ, claims, member, ...others }) {
      const holder = await deviceKey();
      const url = publicUrl + BASE + path;
      const body = async () => ({
        ...others,
        [member]: await makeWord({ key: holder, url, typ, claims, issuedAt: clock.seconds() - 1 }),
      });
      return this.call("POST", path, { body, idempotencyKey: crypto.randomUUID() });
    },

    /** Forgets everything: the key, the token, the grant. */
    async forget() {
      key = token = undefined;
      await store.clear();
    },
  };
}
