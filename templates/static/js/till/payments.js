// The last payments of the merchant, each of which can be given back, whole or in part.

import { find, make, markField, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { parseYuan, yuan } from "../common/money.js";

const SHOWN = 8;
const REFUNDABLE = ["captured", "resolved", "part_refunded"];
const KINDS = {
  captured: "accepted",
  resolved: "accepted",
  failed: "refused",
  expired: "refused",
  reversed: "refused",
};

/** Sets the list up; gives {load}. */
export function makePayments({ till }) {
  let payments = [];
  let open = null; // {id, key, reference} of the one being refunded

  function badge(payment) {
    const kind = KINDS[payment.state] ?? "";
    return make("span", { class: `badge ${kind}` }, t(`payment.${payment.state}`));
  }

  function entry(payment) {
    const left = payment.captured_fen - payment.refunded_fen;
    const sum = payment.refunded_fen
      ? `${yuan(payment.amount_fen)} − ${yuan(payment.refunded_fen)}`
      : yuan(payment.amount_fen);
    const begin = make("button", { type: "button", class: "quiet" }, t("till.refund"));
    begin.addEventListener("click", () => {
      open = { id: payment.id, key: crypto.randomUUID(), reference: crypto.randomUUID() };
      draw();
      find("#refund-amount").select();
    });
    const isOpen = open?.id === payment.id;
    return make(
      "li",
      { "data-payment": payment.id },
      make(
        "div",
        { class: "payment" },
        make("strong", {}, sum),
        badge(payment),
        make("time", { datetime: payment.created_at }, moment(payment.created_at, { timeStyle: "medium" })),
        REFUNDABLE.includes(payment.state) && !isOpen ? begin : null,
      ),
      isOpen ? refundForm(payment, left) : null,
    );
  }

  function refundForm(payment, left) {
    const input = make("input", {
      id: "refund-amount",
      inputmode: "decimal",
      autocomplete: "off",
      value: (left / 100).toFixed(2),
      "aria-describedby": "refund-amount-problem",
    });
    const note = make("p", { class: "field-problem", id: "refund-amount-problem", role: "alert", hidden: true });
    const back = make("button", { type: "button", class: "quiet" }, t("me.cancel"));
    const form = make(
      "form",
      { class: "refund" },
      make("label", { for: "refund-amount" }, t("till.refund_amount")),
      input,
      note,
      make("div", { class: "problem", role: "alert", hidden: true }),
      make("div", { class: "pair" }, make("button", { type: "submit", class: "danger" }, t("till.refund_yes")), back),
    );
    form.noValidate = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const fen = parseYuan(input.value);
      const isGood = fen !== null && fen >= 1 && fen <= left;
      markField(input, isGood ? null : t("till.refund_bad", { most: yuan(left) }));
      if (isGood) refund(payment, fen, form);
    });
    back.addEventListener("click", () => {
      open = null;
      draw();
    });
    return form;
  }

  async function refund(payment, fen, form) {
    const button = find("button[type=submit]", form);
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    // Another amount is another refund; the same one sent again is not.
    if (open.fen !== undefined && open.fen !== fen) {
      Object.assign(open, { key: crypto.randomUUID(), reference: crypto.randomUUID() });
    }
    open.fen = fen;
    const body = { amount_fen: fen, reference: open.reference };
    try {
      await till.call("POST", `/payments/${payment.id}/refunds`, { body, idempotencyKey: open.key });
      open = null;
      await load();
      find("#refund-status").textContent = t("till.refunded", { sum: yuan(fen) });
    } catch (error) {
      if (!error.code) throw error;
      button.removeAttribute("aria-busy");
      showProblem(find(".problem", form), error);
    }
  }

  function draw() {
    find("#payments").replaceChildren(...payments.map(entry));
    find("#payments-none").hidden = payments.length > 0;
  }

  async function load() {
    try {
      const page = await till.call("GET", `/payments?limit=${SHOWN}`);
      payments = page.items;
      find("#refund-status").textContent = "";
      if (!open) draw();
    } catch (error) {
      if (!error.code) throw error; // the list is as it was; charging tells of a lost network
    }
  }

  onLanguage(draw);
  return { load };
}
