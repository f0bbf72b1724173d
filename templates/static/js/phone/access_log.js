// The access log: every use and every look at the record, refusals too, each with its detail.

import {
  fieldName,
  find,
  make,
  nameOf,
  reasonText,
  sceneName,
  shownView,
  showProblem,
} from "../common/dom.js";
import { hasString, inLanguage, listed, moment, onLanguage, t } from "../common/language.js";
import { disputePart } from "./dispute.js";

/** What one's own phone did has no words of an organisation. */
function purposeText(line) {
  const own = `purpose.${line.purpose?.code}`;
  return inLanguage(line.purpose) || (hasString(own) ? t(own) : line.purpose?.code) || "";
}

function badge(line) {
  return make("span", { class: `badge ${line.outcome}` }, t(`log.${line.outcome}`));
}

function entry(line) {
  const where = [purposeText(line), nameOf(line.place)].filter(Boolean).join(" · ");
  const saw = line.fields.length ? listed(line.fields.map(fieldName)) : t("log.no_fields");
  return make(
    "li",
    {},
    make(
      "a",
      { href: `#log/${line.id}` },
      make("span", { class: "line-top" }, make("strong", {}, nameOf(line.organisation)), badge(line)),
      make("span", {}, where),
      make("span", { class: "line-foot" }, make("time", { datetime: line.at }, moment(line.at)), ` — ${saw}`),
    ),
  );
}

function facts(line) {
  const rows = [
    ["log.outcome", [t(`log.${line.outcome}`), reasonText(line.reason)].filter(Boolean).join(" — ")],
    ["log.who", nameOf(line.organisation)],
    ["log.where", nameOf(line.place)],
    ["log.when", moment(line.at, { dateStyle: "full", timeStyle: "medium" })],
    ["log.why", purposeText(line)],
    ["log.scene", sceneName(line.scene)],
    ["log.case", line.case_number ?? ""],
    ["log.fields", line.fields.length ? listed(line.fields.map(fieldName)) : t("log.no_fields")],
    ["log.asked", listed(line.asked.map(fieldName))],
    ["log.acting", line.acting ? t("log.acting_text", line.acting) : ""],
    ["log.law", line.legal_basis ?? ""],
    ["log.where", line.is_shielded ? t("log.shielded") : ""],
  ];
  const list = make("dl", { class: "facts" });
  for (const [key, value] of rows) {
    if (value) list.append(make("div", {}, make("dt", {}, t(key)), make("dd", {}, value)));
  }
  return list;
}

/** Sets the list and the detail up; gives {showList, showLine}. */
export function makeAccessLog({ session }) {
  let lines = [];
  let next = null;
  let open = null;

  function draw() {
    find("#lines").replaceChildren(...lines.map(entry));
    find("#more").hidden = !next;
    const below = () => disputePart({ session, line: open, onChange: () => read(open.id) });
    find("#line").replaceChildren(...(open ? [facts(open), below()] : []));
  }

  async function read(id) {
    open = await session.call("GET", `/access-log/${encodeURIComponent(id)}`);
    lines = lines.map((line) => (line.id === open.id ? open : line));
    draw();
  }

  async function load(cursor) {
    const problem = find("#log-problem");
    showProblem(problem, null);
    find("#log-status").textContent = t("app.busy");
    try {
      const query = cursor ? `?limit=20&cursor=${encodeURIComponent(cursor)}` : "?limit=20";
      const page = await session.call("GET", `/access-log${query}`);
      lines = cursor ? [...lines, ...page.items] : page.items;
      next = page.next;
      find("#log-status").textContent = lines.length ? "" : t("log.empty");
      draw();
    } catch (error) {
      if (!error.code) throw error;
      find("#log-status").textContent = "";
      showProblem(problem, error);
    }
  }

  find("#more").addEventListener("click", () => load(next));
  onLanguage(() => {
    draw();
    if (shownView() === "log") find("#log-status").textContent = lines.length ? "" : t("log.empty");
  });

  return {
    showList: () => load(null),
    async showLine(id) {
      const problem = find("#line-problem");
      showProblem(problem, null);
      open = lines.find((line) => line.id === id) ?? null;
      draw();
      if (open) return;
      try {
        await read(id);
      } catch (error) {
        if (!error.code) throw error;
        showProblem(problem, error);
      }
    },
  };
}
