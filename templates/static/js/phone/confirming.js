// A payment that waits for the holder: shown over everything, then signed, with the payment PIN
// where it is asked for, or refused.

import { find, nameOf, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";
import { makeConfirmation } from "../common/proofs.js";
import { makePinPad } from "./pin_pad.js";

const RECENT = 5;
const LONG_S = 180; // from here on minutes say it better
const AT_BANK = ["capturing", "unknown"];
const PAID = [...AT_BANK, "captured", "resolved", "part_refunded", "refunded"];
const NO_PIN = ["payment_pin.not_set", "payment_pin.locked"];

/** Sets the sheet up; `onDecided` hears the words of each outcome. Gives {look, ask}. */
export function makeConfirming({ session, onDecided }) {
  const sheet = find("#confirm");
  const pad = makePinPad({ place: find("#confirm-pad"), onPin: (pin) => decide(() => confirm(pin)) });
  let payment = null;
  let isBusy = false;

  const leftMs = () => Date.parse(payment.confirm_by) - session.clock.now();

  function draw() {
    if (!payment) return;
    find("#confirm-sum").textContent = yuan(payment.amount_fen);
    find("#confirm-payee").textContent = nameOf(payment.payee);
    find("#confirm-title").textContent = payment.title;
    find("#confirm-yes").textContent = t("confirm.yes", { sum: yuan(payment.amount_fen) });
    countDown();
  }

  function countDown() {
    if (!payment) return;
    const seconds = Math.max(0, Math.ceil(leftMs() / 1000));
    const left = { s: seconds, min: Math.floor(seconds / 60) };
    find("#confirm-left").textContent = t(seconds > LONG_S ? "confirm.left_min" : "confirm.left", left);
    if (!seconds && !isBusy) close(t("confirm.gone"));
  }

  function putAway() {
    payment = null;
    pad.close();
    if (sheet.open) sheet.close();
  }

  function close(words) {
    putAway();
    onDecided(words);
  }

  function open(found) {
    payment = found;
    tell(null);
    pad.close();
    find("#confirm-yes").hidden = false;
    draw();
    if (!sheet.open) sheet.showModal();
  }

  /** Says what is in the way, and leads to where a PIN is set if that is it. */
  function tell(problem) {
    showProblem(find("#confirm-problem"), problem);
    find("#confirm-set-pin").hidden = !NO_PIN.includes(problem?.code);
  }

  /** The pad takes the button's place: the last digit pays. */
  function askPin() {
    find("#confirm-yes").hidden = true;
    pad.ask("pin.enter");
  }

  function agree() {
    if (payment?.needs_pin) askPin();
    else decide(confirm);
  }

  async function send(path, body) {
    return session.call("POST", `/payments/${payment.id}/${path}`, {
      body,
      idempotencyKey: crypto.randomUUID(),
    });
  }

  async function confirm(pin) {
    const url = `${session.publicUrl}/api/resident/v1/payments/${payment.id}/confirmation`;
    const key = await session.deviceKey();
    const shown = payment; // signed is what the sheet has shown
    const decided = await send("confirmation", async () => ({
      confirmation: await makeConfirmation({
        key,
        url,
        payment: shown,
        issuedAt: session.clock.seconds() - 1,
      }),
      ...(pin ? { pin } : {}),
    }));
    close(ended({ ...shown, state: decided.state }));
  }

  /** In words: the money has gone, or the bank is about to send it from the card, or neither. */
  function ended({ state, amount_fen, payee }) {
    if (!PAID.includes(state)) return t("confirm.gone");
    const key = AT_BANK.includes(state) ? "confirm.at_bank" : "confirm.paid";
    return t(key, { sum: yuan(amount_fen), payee: nameOf(payee) });
  }

  async function refuse() {
    await send("refusal", {});
    close(t("confirm.refused"));
  }

  /** After an answer that is lost or says that all is decided, the payment itself tells how. */
  async function learn(error) {
    const now = await session.call("GET", `/payments/${payment.id}`).catch(() => payment);
    if (now.state === "confirming") askAgain(error);
    else close(ended(now));
  }

  /** The PIN where it is missing or was wrong; otherwise the holder decides anew. */
  function askAgain(error) {
    tell(error.code === "payment.pin_needed" ? null : error);
    payment.needs_pin ||= error.code === "payment.pin_needed";
    if (payment.needs_pin && !NO_PIN.includes(error.code)) askPin();
    else {
      pad.close();
      find("#confirm-yes").hidden = payment.needs_pin;
    }
  }

  async function decide(work) {
    if (isBusy || !payment) return;
    isBusy = true;
    tell(null);
    sheet.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      await learn(error);
    } finally {
      isBusy = false;
      sheet.removeAttribute("aria-busy");
    }
  }

  find("#confirm-yes").addEventListener("click", agree);
  find("#confirm-no").addEventListener("click", () => decide(refuse));
  // The payment goes on waiting meanwhile, and is asked about again once there is a PIN.
  find("#confirm-set-pin").addEventListener("click", putAway);
  // Escape must not hide a question about money.
  sheet.addEventListener("cancel", (event) => event.preventDefault());
  onLanguage(draw);
  setInterval(countDown, 1000);

  /** Opens the sheet for a payment that still waits; what is open already stays. */
  function offer(found) {
    if (payment || !found) return;
    if (Date.parse(found.confirm_by) > session.clock.now()) open(found);
  }

  return {
    /** Looks whether a payment waits, and asks about the oldest that does. */
    async look() {
      if (payment) return;
      try {
        const { items } = await session.call("GET", `/payments?limit=${RECENT}`);
        offer(items.filter((item) => item.state === "confirming").pop());
      } catch (error) {
        if (!error.code) throw error; // the next look will tell
      }
    },

    /** Asks about one payment, or says how it has ended. Throws Problem. */
    async ask(id) {
      const found = await session.call("GET", `/payments/${id}`);
      if (found.state === "confirming") offer(found);
      else onDecided(ended(found));
    },
  };
}
