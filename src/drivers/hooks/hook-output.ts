/** So much of what a hook writes last is kept. */
const KEPT_BYTES = 4096;

/** The last of what a program writes, as it comes. */
export class HookOutput {
  #kept = Buffer.alloc(0);
  #isWhole = true;

  add(chunk: Buffer): void {
    const all = Buffer.concat([this.#kept, chunk]);
    if (all.length > KEPT_BYTES) this.#isWhole = false;
    this.#kept = Buffer.from(all.subarray(Math.max(0, all.length - KEPT_BYTES)));
  }

  /** In one line of printable characters, with `…` before what is not the beginning; at most `KEPT_BYTES` long. */
  text(): string {
    const text = escaped(this.#kept.toString('utf8').trim());
    const bytes = Buffer.from(text);
    if (this.#isWhole && bytes.length <= KEPT_BYTES) return text;
    // Escapes are longer than what they stand for, and the cut may be in the midst of a character.
    const room = KEPT_BYTES - Buffer.byteLength('…');
    const rest = bytes.subarray(Math.max(0, bytes.length - room)).toString('utf8');
    return `…${rest.replace(/^\uFFFD+/, '')}`;
  }
}

const NAMED: Readonly<Record<string, string>> = { '\n': String.raw`\n`, '\t': String.raw`\t` };

/** Without anything that could move a terminal's cursor or turn the direction of a text. */
function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const named = NAMED[character];
    if (named !== undefined) return named;
    const code = character.codePointAt(0) ?? 0;
    return String.raw`\u{${code.toString(16)}}`;
  });
}
