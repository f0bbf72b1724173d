// Figures on a page: their numbers in words, their day in bars, and the asking again and again.

import { find, make, showProblem } from "../common/dom.js";
import { currentLanguage, inLanguage, moment, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";

const EVERY_MS = 5000;
const HOURS = 24;
const SVG = "http://www.w3.org/2000/svg";

/** A figure's value as people read it: ¥ for fen, days and hours for seconds. */
export function valueText({ value, unit }) {
  if (unit === "fen") return yuan(value);
  const plain = new Intl.NumberFormat(currentLanguage() === "zh" ? "zh-CN" : "en-GB");
  if (unit === "count") return plain.format(value);
  if (value < 120) return t("figure.seconds", { n: plain.format(value) });
  if (value < 7200) return t("figure.minutes", { n: plain.format(Math.floor(value / 60)) });
  return t("figure.hours", { n: plain.format(Math.floor(value / 3600)) });
}

/** The hours of a day as bars; told in words to those who do not see them. */
function bars(figure) {
  const most = Math.max(...figure.hours, 1);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${HOURS * 10} 48`);
  svg.setAttribute("class", "bars");
  svg.setAttribute("role", "img");
  const peak = figure.hours.indexOf(Math.max(...figure.hours));
  svg.setAttribute("aria-label", t("figure.peak", { hour: peak, n: valueText({ ...figure, value: figure.hours[peak] }) }));
  figure.hours.forEach((value, hour) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = value ? Math.max(3, (46 * value) / most) : 1;
    for (const [name, number] of Object.entries({ x: hour * 10 + 1, y: 48 - height, width: 8, height, rx: 2 })) {
      bar.setAttribute(name, number);
    }
    bar.setAttribute("class", value ? "bar-full" : "bar-empty");
    svg.append(bar);
  });
  return svg;
}

/** Writes figures into a list; those in `alarms` are marked when they are above 0. */
export function drawFigures(place, figures, { alarms = [] } = {}) {
  place.replaceChildren(
    ...figures.map((figure) =>
      make(
        "div",
        {
          "data-figure": figure.name,
          "data-unit": figure.unit,
          "data-alarm": alarms.includes(figure.name) && figure.value > 0,
        },
        make("dt", {}, inLanguage(figure)),
        make("dd", {}, valueText(figure)),
        figure.hours.length ? make("dd", { class: "trend" }, bars(figure)) : null,
      ),
    ),
  );
}

/**
 * Asks `ask()` every `everyMs` while the page is entered, and hands the answer to `draw(answer)`.
 * A failure is shown beside what was known last; `onRefused(problem)` says whether to go on.
 */
export function makeWatch({ ask, draw, onRefused, everyMs = EVERY_MS }) {
  const trouble = find("#trouble");
  let last = null;
  let isOn = false;
  let timer = null;

  function show() {
    if (!last) return;
    find("#as-of").textContent = t("figure.as_of", { at: moment(last.at, { timeStyle: "medium" }) });
    draw(last);
  }

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await ask();
      if (!isOn) return;
      last = answer;
      showProblem(trouble, null);
      show();
    } catch (error) {
      if (!error.code) throw error;
      if (!isOn || !onRefused(error)) return;
      showProblem(trouble, error);
    }
    if (isOn) timer = setTimeout(look, everyMs);
  }

  onLanguage(show);
  return {
    look,
    start() {
      isOn = true;
      look();
    },
    stop() {
      isOn = false;
      clearTimeout(timer);
    },
  };
}
