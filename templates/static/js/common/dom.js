// Building and showing parts of a page, and telling people plainly what went wrong.

import { currentLanguage, hasString, inLanguage, t } from "./language.js";
import { yuan } from "./money.js";

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with attributes and children; `null` children are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Shows the view `name`, hides the others, and moves the reader's focus to its heading. */
export function showView(name, { focus = true } = {}) {
  for (const view of findAll("[data-view]")) view.hidden = view.dataset.view !== name;
  document.body.dataset.shows = name;
  const heading = find(`[data-view="${name}"] h1`);
  if (focus && heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

export const shownView = () => document.body.dataset.shows;

/** What a problem says: {title, next, code}, in the reader's language. */
export function explain(problem) {
  const { code } = problem;
  let title = currentLanguage() === "zh" ? problem.title_zh : problem.title;
  if (hasString(`why.${code}`)) title = t(`why.${code}`);
  else if (hasString(`problem.${code}`)) title = t(`problem.${code}`);
  const known = hasString(`next.${code}`) ? t(`next.${code}`, problem.members) : "";
  const next = [known || (title ? "" : t("next.unexpected"))];
  const daily = problem.members?.daily_fen;
  if (hasString(`daily.${code}`) && daily) next.push(t(`daily.${code}`, { daily: yuan(daily) }));
  if (problem.retryAfter > 90) next.push(t("app.wait_min", { min: Math.ceil(problem.retryAfter / 60) }));
  else if (problem.retryAfter > 0) next.push(t("app.wait_s", { s: problem.retryAfter }));
  return { title: title || t("problem.unexpected"), next: next.filter(Boolean).join(" "), code };
}

/** Writes a problem into a form's alert; no problem empties it. */
export function showProblem(place, problem) {
  place.replaceChildren();
  place.hidden = !problem;
  if (!problem) return;
  const { title, next, code } = explain(problem);
  place.append(
    make("strong", {}, title),
    next ? make("span", {}, next) : "",
    make("small", {}, `${t("app.code_label")}: `, make("code", {}, code)),
  );
}

/** Marks a field as wrong, in words beside it, or as right again. */
export function markField(input, text) {
  const note = find(`#${input.id}-problem`);
  input.toggleAttribute("aria-invalid", Boolean(text));
  if (text) input.setAttribute("aria-invalid", "true");
  note.textContent = text ?? "";
  note.hidden = !text;
  if (text) input.focus();
}

/**
 * Sends a form by `work`, once at a time, and shows the Problem it may throw in the form's alert.
 * Anything that is no Problem is a fault of ours and goes on to the console.
 */
export function onSubmit(form, work) {
  const alert = find(".problem", form);
  const button = find("button[type=submit]", form);
  form.noValidate = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-busy") === "true") return;
    showProblem(alert, null);
    button.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(alert, error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}

/** The name of a field, or the name itself when the page does not know it. */
export const fieldName = (name) => (hasString(`field.${name}`) ? t(`field.${name}`) : name);
export const sceneName = (name) => (hasString(`scene.${name}`) ? t(`scene.${name}`) : name);

/** A field's value in words. */
export function fieldValue(value) {
  if (value === true) return t("app.yes");
  if (value === false) return t("app.no");
  if (value === null || value === undefined || value === "") return t("app.unknown");
  return hasString(`value.${value}`) ? t(`value.${value}`) : String(value);
}

/** The words for a refusal's reason, given with or without its family: "expired", "code.expired". */
export function reasonText(reason) {
  if (!reason) return "";
  const known = [reason, `code.${reason}`, `scan.${reason}`].find((code) => hasString(`why.${code}`));
  return known ? t(`why.${known}`) : reason;
}

export const nameOf = (thing) => inLanguage(thing?.name ?? thing);
