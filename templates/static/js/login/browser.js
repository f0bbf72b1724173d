// How the login pages call: as a browser without a key, by a cookie that no script can read.

import { makeApi } from "../common/api.js";
import { makeClock } from "../common/clock.js";
import { find } from "../common/dom.js";

/** Gives {call, clock, publicUrl}. */
export function makeBrowser() {
  const clock = makeClock({ offset: 0, onChange: () => {} });
  const publicUrl = find('meta[name="vpass-public-url"]').content;
  const api = makeApi({ publicUrl, clock, prove: async () => ({}) });
  return { clock, publicUrl, call: (method, path, body) => api.call(method, path, { body }) };
}
