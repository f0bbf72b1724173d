// Charging: an amount and a scan make a payment; then its state is followed until it is decided.

import { Problem } from "../common/api.js";
import { find, nameOf } from "../common/dom.js";
import { makeScanner } from "../scanning/scanner.js";
import { makeAmount } from "./amount.js";
import { makeResult } from "./result.js";

const TRIES = 3;
const BETWEEN_TRIES_MS = 700;
const ASK_EVERY_MS = 2000;
// The customer is asked, or the customer's bank.
const UNDECIDED = ["confirming", "capturing", "unknown"];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sets charging up; `onChange` hears that a payment was made or decided, `onLost` of a dead key. */
export function makeCharging({ till, onChange, onLost }) {
  const scanner = makeScanner({ isBusy: () => isBusy, onCode });
  const { field } = scanner;
  const amount = makeAmount();
  const result = makeResult({
    onRetry: () => last && send(last),
    onCancel: cancel,
    onClear: () => find("#amount").focus(),
  });
  let last = null;
  let waiting = null;
  let isBusy = false;

  /** Asks until there is an answer; the same key, so that nothing is done twice. */
  async function ask(method, path, options) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await till.call(method, path, options);
      } catch (error) {
        if (!error.isUncertain || tries === TRIES) throw error;
        await pause(BETWEEN_TRIES_MS * tries);
      }
    }
  }

  async function send(charge) {
    if (isBusy) return;
    isBusy = true;
    last = charge;
    const fen = charge.body.amount_fen;
    result.checking(fen);
    try {
      settle(await ask("POST", "/payments", { body: charge.body, idempotencyKey: charge.key }));
      amount.clear();
    } catch (error) {
      if (!error.code) throw error;
      if (error.isUncertain) result.uncertain(fen);
      else result.refused(error, fen);
      if (error.status === 401) onLost(error);
    } finally {
      isBusy = false;
      field.value = "";
      // What comes next: the next sum, or another code for the same one.
      (find("#amount").value ? field : find("#amount")).focus();
    }
    onChange();
  }

  function settle(payment) {
    waiting = UNDECIDED.includes(payment.state) ? payment : null;
    if (waiting) {
      if (payment.state === "confirming") result.waiting(payment);
      else result.atBank(payment);
      follow(payment.id);
    } else if (payment.state === "captured" || payment.state === "resolved") {
      result.paid(payment);
    } else if (payment.state === "cancelled") {
      result.clear("till.cancelled");
    } else {
      const code = payment.reason ?? `order.${payment.state}`;
      result.refused(new Problem({ code, status: 409 }), payment.amount_fen);
    }
  }

  async function follow(id) {
    while (waiting?.id === id) {
      await pause(ASK_EVERY_MS);
      if (waiting?.id !== id) return;
      try {
        const payment = await till.call("GET", `/payments/${id}`);
        if (waiting?.id !== id || payment.state === waiting.state) continue;
        settle(payment);
        onChange();
        return; // what it has settled is followed anew, if at all
      } catch (error) {
        if (!error.code) throw error; // without network it is asked again
      }
    }
  }

  async function cancel() {
    if (!waiting) return;
    const { id } = waiting;
    const options = { body: {}, idempotencyKey: `cancel-${id}` };
    try {
      settle(await ask("POST", `/payments/${id}/cancellation`, options));
    } catch (error) {
      if (!error.code) throw error; // decided meanwhile: following it will tell how
    }
    onChange();
  }

  function onCode(code) {
    if (waiting) {
      field.value = "";
      return;
    }
    const fen = amount.read();
    if (fen === null) {
      // The code waits in its field; the amount and Enter send both.
      field.value = code;
      return;
    }
    const body = {
      code,
      amount_fen: fen,
      title: nameOf(till.till()).slice(0, 100),
      merchant_reference: crypto.randomUUID(),
    };
    send({ body, key: crypto.randomUUID() });
  }

  find("#charge-form").noValidate = true;
  find("#charge-form").addEventListener("submit", (event) => {
    event.preventDefault();
    scanner.takeStray(find("#amount"));
    if (field.value.trim()) scanner.scan(field.value);
    else if (amount.read() !== null) field.focus();
  });

  return {
    start() {
      result.clear();
      find("#amount").focus();
    },
  };
}
