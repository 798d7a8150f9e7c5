/** What a guest says of itself is shown to people: on one line, and no longer than this. */
const MAX_CHARACTERS = 256;
export const MAX_ENTRIES = 256;

// Whoever prints them hands its terminal to the guest: control characters, line separators, and what turns the direction of text.
const UNSAFE = /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A text of the guest's as it may be shown. */
export function plainText(text: string, maxCharacters = MAX_CHARACTERS): string {
  // Not all of what may be megabytes is looked at.
  const characters = Array.from(text.slice(0, 2 * maxCharacters));
  const kept = characters.slice(0, maxCharacters).join('').replace(UNSAFE, '\uFFFD');
  return kept.length < text.length ? `${kept}…` : kept;
}
