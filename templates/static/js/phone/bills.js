// Bills: everything that is owed, the resident's bills, and finding any bill by its notice code.

import { find, make, markField, nameOf, onSubmit, shownView, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";
import { makeBill } from "./bill.js";

const DAY = { dateStyle: "medium" };
const TONES = { paid: "accepted", cancelled: "refused" };
const CODE = /^[0-9]{20}$/;
const SOON_MS = 3 * 86400000;

// A date is a day of the city; noon is in it wherever it is read.
export const dayOf = (date) => moment(`${date}T12:00:00+08:00`, DAY);

function line(href, ...children) {
  return make("li", href ? {} : { class: "item" }, ...(href ? [make("a", { href }, ...children)] : children));
}

function top(left, right) {
  return make("span", { class: "line-top" }, left, right);
}

function owedEntry(item) {
  const due = item.is_overdue ? "bills.overdue" : "bills.due";
  const when = item.kind === "charge" ? t("bills.charge") : t(due, { day: dayOf(item.due_date) });
  return line(
    item.kind === "bill" ? `#bills/${item.id}` : null,
    top(make("strong", {}, nameOf(item.payee)), make("strong", {}, yuan(item.amount_fen))),
    make("span", {}, item.title),
    make("span", { class: `line-foot ${item.is_overdue && item.kind === "bill" ? "late" : ""}` }, when),
  );
}

function billEntry(bill) {
  const badge = make("span", { class: `badge ${TONES[bill.state] ?? ""}` }, t(`bill.${bill.state}`));
  return line(
    `#bills/${bill.id}`,
    top(make("strong", {}, nameOf(bill.biller)), badge),
    top(make("span", {}, bill.title), make("strong", {}, yuan(bill.amount_fen))),
    make("span", { class: "line-foot" }, t("bills.due", { day: dayOf(bill.due_date) })),
  );
}

/** Sets the views "bills" and "bill" up; `onOpened` hears that a payment waits. Gives {show}. */
export function makeBills({ session, onOpened }) {
  const detail = makeBill({ session, dayOf, onOpened, onFollowed: () => load(null) });
  const code = find("#bill-code");
  let owed = null;
  let bills = [];
  let next = null;

  /** Below the code: how many bills are overdue or due within three days. */
  function remind() {
    const soon = session.clock.now() + SOON_MS;
    const count = owed.items.filter(
      ({ kind, due_date }) => kind === "bill" && Date.parse(`${due_date}T00:00:00+08:00`) <= soon,
    ).length;
    find("#bills-reminder").hidden = count === 0;
    find("#bills-reminder").textContent = t("bills.reminder", { n: count });
  }

  function draw() {
    if (!owed) return;
    remind();
    const sum = t("bills.owed", { sum: yuan(owed.total_fen) });
    find("#bills-sum").textContent = owed.items.length ? sum : t("bills.owed_none");
    find("#bills-part").hidden = owed.is_whole;
    find("#bills-owed").replaceChildren(...owed.items.map(owedEntry));
    find("#bills-list").replaceChildren(...bills.map(billEntry));
    find("#bills-none").hidden = bills.length > 0;
    find("#bills-more").hidden = !next;
  }

  async function load(cursor) {
    const problem = find("#bills-problem");
    showProblem(problem, null);
    try {
      const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const [all, page] = await Promise.all([
        session.call("GET", "/owed"),
        session.call("GET", `/bills${query}`),
      ]);
      owed = all;
      bills = cursor ? [...bills, ...page.items] : page.items;
      next = page.next;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  onSubmit(find("#bill-code-form"), async () => {
    const digits = code.value.normalize("NFKC").replace(/\s/g, "");
    const isGood = CODE.test(digits);
    markField(code, isGood ? null : t("next.bill.notice_code_invalid"));
    if (!isGood) return;
    const bill = await session.call("POST", "/bill-look-ups", { body: { notice_code: digits } });
    code.value = "";
    detail.hold(bill);
    location.hash = `#bills/${bill.id}`;
  });
  code.addEventListener("input", () => markField(code, null));
  find("#bills-more").addEventListener("click", () => load(next));
  onLanguage(draw);

  return {
    /** The list; or with a bill's id, that bill. */
    show: (id) => (id ? detail.show(id) : load(null)),
    /** Looks what is owed, for the line below the code. */
    look: () => load(null),
    /** Something was paid: what is on the screen is old. */
    refresh(words) {
      if (shownView() === "bills") load(null);
      else if (shownView() === "bill") detail.refresh(words);
    },
  };
}
