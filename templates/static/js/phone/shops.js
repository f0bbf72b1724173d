// Where merchants may take money by themselves: unmanned shops the holder is in, and apps with leave.

import { find, make, nameOf, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";

const RECENT = 5;

function insideEntry(visit) {
  const time = moment(visit.leave_by, { timeStyle: "short" });
  return make(
    "li",
    { class: "line" },
    make("span", { class: "line-top" }, make("strong", {}, nameOf(visit.shop)), make("strong", {}, yuan(visit.held_fen))),
    make("span", { class: "line-foot" }, t("shops.held", { time })),
  );
}

/** Sets both lists up; gives {show}. */
export function makeShops({ session }) {
  let inside = [];
  let leaves = [];

  function leaveEntry({ merchant }) {
    const button = make("button", { type: "button", class: "danger" }, t("leaves.end"));
    button.addEventListener("click", () => end(merchant.id));
    return make("li", { class: "line" }, make("strong", {}, nameOf(merchant)), button);
  }

  function draw() {
    find("#inside").hidden = inside.length === 0;
    find("#inside-lines").replaceChildren(...inside.map(insideEntry));
    find("#leaves").hidden = leaves.length === 0;
    find("#leaves-lines").replaceChildren(...leaves.map(leaveEntry));
  }

  async function load() {
    const [visits, handles] = await Promise.all([
      session.call("GET", `/visits?limit=${RECENT}`),
      session.call("GET", "/payer-handles?limit=100"),
    ]);
    inside = visits.items.filter(({ state }) => state === "inside");
    leaves = handles.items;
    draw();
  }

  async function attempt(work) {
    const problem = find("#leaves-problem");
    showProblem(problem, null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  const end = (merchantId) =>
    attempt(async () => {
      await session.call("DELETE", `/payer-handles/${merchantId}`);
      await load();
    });

  onLanguage(draw);

  return {
    /** What cannot be had now is left as it was; the wallet above says what is wrong. */
    show: () =>
      load().catch((error) => {
        if (!error.code) throw error;
      }),
  };
}
