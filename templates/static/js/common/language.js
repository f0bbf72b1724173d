// Chinese or English: which one is shown, remembered, and put into the page.

import { STRINGS } from "./strings.js";

const STORED = "vpass.language";
const TAGS = { zh: "zh-Hans", en: "en" };
const listeners = new Set();

function remembered() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // storage may be switched off; the choice then lasts as long as the page
  }
}

let language =
  remembered() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(language in TAGS)) language = "zh";

export const currentLanguage = () => language;
export const hasString = (key) => key in STRINGS;

/** The text of `key`, with {name} places filled from `values`. */
export function t(key, values = {}) {
  const pair = STRINGS[key];
  if (!pair) {
    console.error(`no string ${key}`);
    return key;
  }
  const text = pair[language === "zh" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The one of two texts which the reader understands; takes {zh, en}, {name_zh, name_en} or text. */
export function inLanguage(texts) {
  if (texts === null || texts === undefined) return "";
  if (typeof texts !== "object") return String(texts);
  const { zh = texts.name_zh, en = texts.name_en } = texts;
  return (language === "zh" ? zh || en : en || zh) ?? "";
}

/** Several things named one after another. */
export const listed = (names) => names.join(language === "zh" ? "、" : ", ");

/** A moment as people of the city write it. */
export function moment(iso, options = { dateStyle: "medium", timeStyle: "medium" }) {
  const locale = language === "zh" ? "zh-CN" : "en-GB";
  return new Intl.DateTimeFormat(locale, { ...options, timeZone: "Asia/Shanghai" }).format(
    new Date(iso),
  );
}

/** Writes every marked text below `root`: data-t for content, data-t-label for aria-label. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
}

/** Calls `listener` after each switch, for what the page has written itself. */
export const onLanguage = (listener) => listeners.add(listener);

function apply() {
  document.documentElement.lang = TAGS[language];
  document.title = t(document.body.dataset.title);
  translate();
  const button = document.querySelector("[data-language]");
  button.textContent = t("app.language");
  // The button speaks the language it leads to.
  button.lang = language === "zh" ? "en" : "zh-Hans";
  button.setAttribute("aria-label", t("app.language_label"));
}

export function startLanguage() {
  document.querySelector("[data-language]").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    try {
      localStorage.setItem(STORED, language);
    } catch {
      // see remembered()
    }
    apply();
    listeners.forEach((listener) => listener());
  });
  apply();
}
