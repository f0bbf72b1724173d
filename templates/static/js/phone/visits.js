// Appointments: the resident's own with their tickets, and the services that can be booked.

import { find, make, nameOf, shownView, showProblem } from "../common/dom.js";
import { inLanguage, moment, onLanguage, t } from "../common/language.js";
import { makeSlots } from "./slots.js";

const WATCH_MS = 5000;
const NEWS_MS = 10000;
const WHEN = { dateStyle: "medium", timeStyle: "short" };
const TONES = { booked: "accepted", checked_in: "accepted", served: "accepted", missed: "refused" };
const MAY_CANCEL = ["held", "booked"];
const IS_WATCHED = ["checked_in"];

function ticketOf(booking) {
  const { ticket } = booking;
  if (!ticket) return booking.state === "booked" ? make("p", { class: "note" }, t("visits.come")) : null;
  return make(
    "p",
    { class: `ticket ${ticket.state}` },
    make("span", {}, t("visits.ticket")),
    make("strong", {}, ticket.label),
    make("span", {}, t(`visits.ticket_${ticket.state}`, { desk: inLanguage(ticket.desk) })),
  );
}

/** Sets the views "visits" and "service" up; gives {show}. */
export function makeVisits({ session }) {
  let bookings = [];
  let services = [];
  let next = null;
  let known = ""; // what is drawn, as text
  let watch = null;
  let silence = null;
  const slots = makeSlots({ session, onChange });

  function entry(booking) {
    const actions = [];
    if (booking.state === "held") {
      const confirm = make("button", { type: "button" }, t("visits.confirm"));
      confirm.addEventListener("click", () => slots.open(booking));
      actions.push(confirm);
    } else if (MAY_CANCEL.includes(booking.state)) {
      actions.push(cancelButton(booking));
    }
    return make(
      "li",
      { class: "line", "data-booking": booking.id },
      make(
        "span",
        { class: "line-top" },
        make("strong", {}, inLanguage(booking.service)),
        make("span", { class: `badge ${TONES[booking.state] ?? ""}` }, t(`booking.${booking.state}`)),
      ),
      make("time", { datetime: booking.starts_at }, moment(booking.starts_at, WHEN)),
      make("span", { class: "line-foot" }, inLanguage(booking.organisation)),
      ticketOf(booking),
      ...actions,
    );
  }

  /** One press asks, the second one does. */
  function cancelButton(booking) {
    const button = make("button", { type: "button", class: "danger" }, t("visits.cancel"));
    let isSure = false;
    button.addEventListener("click", async () => {
      if (!isSure) {
        isSure = true;
        button.textContent = t("visits.cancel_sure");
        button.classList.add("solid");
        return;
      }
      button.disabled = true;
      await attempt(async () => {
        await session.call("POST", `/bookings/${booking.id}/cancellation`, {
          body: {},
          idempotencyKey: crypto.randomUUID(),
        });
        await load(null);
        say(t("visits.cancelled"));
      });
      button.disabled = false;
    });
    button.addEventListener("blur", () => {
      isSure = false;
      button.textContent = t("visits.cancel");
      button.classList.remove("solid");
    });
    return button;
  }

  function offer(service) {
    return make(
      "li",
      {},
      make(
        "a",
        { href: `#visits/${service.id}` },
        make("strong", {}, nameOf(service)),
        make("span", {}, inLanguage(service.organisation)),
        make("span", { class: "line-foot" }, t("visits.minutes", { n: service.minutes })),
      ),
    );
  }

  function draw() {
    if (!known) return;
    find("#bookings").replaceChildren(...bookings.map(entry));
    find("#bookings-none").hidden = bookings.length > 0;
    find("#bookings-more").hidden = !next;
    find("#services").replaceChildren(...services.map(offer));
    find("#services-none").hidden = services.length > 0;
  }

  function say(words) {
    clearTimeout(silence);
    find("#visits-status").textContent = words;
    if (words) silence = setTimeout(() => say(""), NEWS_MS);
  }

  async function attempt(work) {
    const problem = find("#visits-problem");
    showProblem(problem, null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  async function load(cursor) {
    const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const [page, offered] = await Promise.all([
      session.call("GET", `/bookings${query}`),
      session.call("GET", "/services?limit=100"),
    ]);
    bookings = cursor ? [...bookings, ...page.items] : page.items;
    services = offered.items;
    next = page.next;
    const news = JSON.stringify([bookings, services, next]);
    if (news !== known) {
      known = news;
      draw(); // else a button that asks whether one is sure would forget it
    }
    keepWatch();
  }

  /** While somebody waits to be called, the list looks again and again. */
  function keepWatch() {
    clearTimeout(watch);
    if (!bookings.some(({ state }) => IS_WATCHED.includes(state))) return;
    watch = setTimeout(() => {
      const isSeen = shownView() === "visits" && !document.hidden;
      if (isSeen) attempt(() => load(null)).then(keepWatch);
      else keepWatch();
    }, WATCH_MS);
  }

  function onChange(words) {
    location.hash = "#visits";
    say(words);
    attempt(() => load(null));
  }

  find("#bookings-more").addEventListener("click", () => attempt(() => load(next)));
  onLanguage(draw);

  return {
    /** The list; or with a service's id, its slots. */
    show(id) {
      if (id) {
        say("");
        slots.show(id);
      } else attempt(() => load(null));
    },
  };
}
