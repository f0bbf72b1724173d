// A payment that waits for the holder: shown over everything, then signed or refused.

import { find, nameOf, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";
import { makeConfirmation } from "../common/proofs.js";

const RECENT = 5;

/** Sets the sheet up; `onDecided` hears the words of each outcome. Gives {look}. */
export function makeConfirming({ session, onDecided }) {
  const sheet = find("#confirm");
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
    find("#confirm-left").textContent = t("confirm.left", { s: seconds });
    if (!seconds && !isBusy) close("confirm.gone");
  }

  function close(key, values) {
    payment = null;
    if (sheet.open) sheet.close();
    onDecided(t(key, values));
  }

  function open(found) {
    payment = found;
    showProblem(find("#confirm-problem"), null);
    draw();
    if (!sheet.open) sheet.showModal();
  }

  async function send(path, body) {
    return session.call("POST", `/payments/${payment.id}/${path}`, {
      body,
      idempotencyKey: crypto.randomUUID(),
    });
  }

  async function confirm() {
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
    }));
    closePaid(decided.state, shown);
  }

  /** The money has gone, or the bank is about to send it from the card. */
  function closePaid(state, shown) {
    const key = state === "capturing" || state === "unknown" ? "confirm.at_bank" : "confirm.paid";
    close(key, { sum: yuan(shown.amount_fen), payee: nameOf(shown.payee) });
  }

  async function refuse() {
    await send("refusal", {});
    close("confirm.refused");
  }

  /** After an answer that is lost or says that all is decided, the payment itself tells how. */
  async function learn(error) {
    const now = await session.call("GET", `/payments/${payment.id}`).catch(() => payment);
    if (now.state === "confirming") showProblem(find("#confirm-problem"), error);
    else if (["captured", "capturing", "unknown", "resolved"].includes(now.state)) closePaid(now.state, now);
    else close("confirm.gone");
  }

  async function decide(work) {
    if (isBusy || !payment) return;
    isBusy = true;
    showProblem(find("#confirm-problem"), null);
    find("#confirm-yes").setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      await learn(error);
    } finally {
      isBusy = false;
      find("#confirm-yes").removeAttribute("aria-busy");
    }
  }

  find("#confirm-yes").addEventListener("click", () => decide(confirm));
  find("#confirm-no").addEventListener("click", () => decide(refuse));
  // Escape must not hide a question about money.
  sheet.addEventListener("cancel", (event) => event.preventDefault());
  onLanguage(draw);
  setInterval(countDown, 1000);

  return {
    /** Looks whether a payment waits, and asks about the oldest that does. */
    async look() {
      if (payment) return;
      try {
        const { items } = await session.call("GET", `/payments?limit=${RECENT}`);
        const found = items.filter((item) => item.state === "confirming").pop();
        if (!payment && found && Date.parse(found.confirm_by) > session.clock.now()) open(found);
      } catch (error) {
        if (!error.code) throw error; // the next look will tell
      }
    },
  };
}
