// The city's time. A wrong clock on the device must not matter, so every answer sets it right.

const NOTICEABLE_MS = 2000;
const SLOW_MS = 10000;

/** `offset` is what was learnt before, in milliseconds; `onChange` hears of a new one. */
export function makeClock({ offset = 0, onChange = () => {} } = {}) {
  let current = offset;
  return {
    /** Milliseconds since the epoch. */
    now: () => Date.now() + current,
    /** Whole seconds since the epoch. */
    seconds: () => Math.floor((Date.now() + current) / 1000),
    offset: () => current,
    /**
     * Learns the time in `text` (RFC 3339, or a Date header), said by an answer between two
     * readings of Date.now(); true when the clock was off until then.
     */
    learn(text, sentAt, receivedAt) {
      const time = Date.parse(text ?? "");
      if (Number.isNaN(time) || receivedAt - sentAt > SLOW_MS) return false;
      // Whole seconds lie half a second back on average.
      const learnt = time + (time % 1000 ? 0 : 500) - (sentAt + receivedAt) / 2;
      if (Math.abs(learnt - current) < NOTICEABLE_MS) return false;
      current = learnt;
      onChange(current);
      return true;
    },
  };
}
