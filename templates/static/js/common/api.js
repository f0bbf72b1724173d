// Calls the V Pass API with a proof of the key on each request, and makes problems of refusals.

const TIMEOUT_MS = 15000;

/** A refusal or a failure, as RFC 9457 problem details or as what the browser noticed itself. */
export class Problem extends Error {
  constructor({ code, status = 0, title = "", title_zh = "", errors = [], retryAfter = 0, ...members }) {
    super(code);
    Object.assign(this, { code, status, title, title_zh, errors, retryAfter, members });
  }

  /** Whether the request may not have arrived, so that the same one may be sent again. */
  get isUncertain() {
    return this.status === 0 || this.status >= 500 || this.code === "idempotency.running";
  }
}

/** A refusal; without problem details (a proxy's page, say) the status has to say enough. */
function problemOf(response, body) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const code = typeof body?.code === "string" ? body.code : `http.${response.status}`;
  return new Problem({ ...body, code, status: response.status, retryAfter });
}

async function readBody(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

/**
 * A caller for the site at `publicUrl`. `prove` makes the headers by which the device shows its key:
 * `proofIn("DPoP")` of proofs.js, or `signRequest` of http_signatures.js.
 *
 * call(method, path, {key, ath, token, body, idempotencyKey}) gives the answer's JSON or null, and
 * throws Problem. `body` may be a function that makes it. What was refused because this device's
 * clock was wrong is made once more.
 */
export function makeApi({ publicUrl, clock, prove }) {
  async function send(method, path, { key, ath, token, body, idempotencyKey }) {
    const made = typeof body === "function" ? await body() : body;
    const text = made === undefined ? undefined : JSON.stringify(made);
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `DPoP ${token}`;
    if (made !== undefined) headers["Content-Type"] = "application/json";
    if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
    // A second of slack: a proof must not seem to come from the future.
    const issuedAt = clock.seconds() - 1;
    const url = publicUrl + path;
    Object.assign(headers, await prove({ key, method, url, ath, text, idempotencyKey, issuedAt }));
    const sentAt = Date.now();
    let response;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: text,
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new Problem({ code: "network.unreachable" });
    }
    const answer = await readBody(response);
    const time = answer?.server_time ?? response.headers.get("Date");
    return { response, answer, wasOff: clock.learn(time, sentAt, Date.now()) };
  }

  return {
    publicUrl,
    async call(method, path, options) {
      let { response, answer, wasOff } = await send(method, path, options);
      if (response.status === 401 && wasOff) {
        ({ response, answer } = await send(method, path, options));
      }
      if (!response.ok) throw problemOf(response, answer);
      // An answer cut short is no answer.
      if (answer === null && response.status !== 204) throw new Problem({ code: "network.unreachable" });
      return answer;
    },
  };
}
