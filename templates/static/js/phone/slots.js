// One service and its times: a day, a time, five minutes to confirm.

import { find, make, nameOf, showProblem } from "../common/dom.js";
import { inLanguage, moment, onLanguage, t } from "../common/language.js";

const DAYS = 8;
const DAY_MS = 86400000;
const WHEN = { dateStyle: "full", timeStyle: "short" };

/** The city's date of a moment, as 2026-11-21. */
const dateOf = (ms) =>
  new Intl.DateTimeFormat("en-CA", {
    timeZone: "Asia/Shanghai",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  }).format(new Date(ms));

/** Sets the view "service" and its sheet up; `onChange` hears what came of a held seat. */
export function makeSlots({ session, onChange }) {
  const sheet = find("#held");
  const chosenDay = find("#slot-day");
  let service = null;
  let slots = null;
  let held = null;
  let isBusy = false;

  function drawDays() {
    const chosen = chosenDay.value;
    const options = Array.from({ length: DAYS }, (_, n) => {
      const ms = session.clock.now() + n * DAY_MS;
      const day = moment(new Date(ms).toISOString(), { month: "short", day: "numeric", weekday: "short" });
      return make("option", { value: dateOf(ms) }, n ? day : t("visits.today", { day }));
    });
    chosenDay.replaceChildren(...options);
    if (options.some(({ value }) => value === chosen)) chosenDay.value = chosen;
  }

  function slotButton(slot) {
    const time = moment(slot.starts_at, { timeStyle: "short" });
    const left = slot.free ? t("visits.free", { n: slot.free }) : t("visits.full");
    const button = make(
      "button",
      { type: "button", class: "slot", disabled: slot.free === 0, "data-slot": slot.id },
      make("strong", {}, time),
      make("small", {}, left),
    );
    button.addEventListener("click", () => hold(slot));
    return make("li", {}, button);
  }

  function draw() {
    find("#service-name").textContent = service ? nameOf(service) : "";
    find("#service-text").textContent = inLanguage(service?.description);
    find("#service-place").textContent = service
      ? `${inLanguage(service.organisation)} · ${t("visits.minutes", { n: service.minutes })}`
      : "";
    find("#slots").replaceChildren(...(slots ?? []).map(slotButton));
    find("#slots-none").hidden = !slots || slots.length > 0;
  }

  function drawHeld() {
    if (!held) return;
    find("#held-service").textContent = inLanguage(held.service);
    find("#held-when").textContent = moment(held.starts_at, WHEN);
    find("#held-place").textContent = inLanguage(held.organisation);
    countDown();
  }

  function countDown() {
    if (!held) return;
    const seconds = Math.max(0, Math.ceil((Date.parse(held.held_until) - session.clock.now()) / 1000));
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    find("#held-left").textContent = t("visits.held_left", { time });
    if (!seconds && !isBusy) close(t("visits.gone"));
  }

  function open(booking) {
    held = booking;
    showProblem(find("#held-problem"), null);
    drawHeld();
    if (!sheet.open) sheet.showModal();
  }

  function close(words) {
    held = null;
    if (sheet.open) sheet.close();
    onChange(words);
  }

  async function attempt(place, work) {
    if (isBusy) return;
    isBusy = true;
    showProblem(find(place), null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find(place), error);
    } finally {
      isBusy = false;
    }
  }

  async function load() {
    const query = `?day=${chosenDay.value}&limit=100`;
    slots = (await session.call("GET", `/services/${service.id}/slots${query}`)).items;
    draw();
  }

  async function hold(slot) {
    await attempt("#slots-problem", async () => {
      try {
        const options = { body: { slot_id: slot.id }, idempotencyKey: crypto.randomUUID() };
        open(await session.call("POST", "/bookings", options));
      } catch (error) {
        if (error.code) await load(); // what is full shows as full
        throw error;
      }
    });
  }

  const step = (name) =>
    session.call("POST", `/bookings/${held.id}/${name}`, {
      body: {},
      idempotencyKey: crypto.randomUUID(),
    });

  async function confirm() {
    const booked = await step("confirmation");
    close(t("visits.booked", { when: moment(booked.starts_at, WHEN) }));
  }

  async function giveBack() {
    await step("cancellation");
    close(t("visits.cancelled"));
  }

  chosenDay.addEventListener("change", () => {
    slots = null;
    draw();
    attempt("#slots-problem", load);
  });
  find("#held-yes").addEventListener("click", () => attempt("#held-problem", confirm));
  find("#held-no").addEventListener("click", () => attempt("#held-problem", giveBack));
  // Escape leaves the seat held: it can be confirmed from the list until its time is over.
  sheet.addEventListener("cancel", () => {
    held = null;
    onChange("");
  });
  setInterval(countDown, 1000);
  onLanguage(() => {
    drawDays();
    draw();
    drawHeld();
  });

  return {
    open,
    show(id) {
      if (service?.id !== id) service = null;
      slots = null; // what was free before may be taken by now
      drawDays();
      draw();
      attempt("#slots-problem", async () => {
        service = await session.call("GET", `/services/${encodeURIComponent(id)}`);
        await load();
        if (slots.length || chosenDay.selectedIndex) return;
        chosenDay.selectedIndex = 1; // the day is nearly over
        await load();
      });
    },
  };
}
