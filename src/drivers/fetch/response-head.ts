/** What is kept of a server's own words. */
const MAX_WORDS = 100;
/** More than any server sends that means well. */
const MAX_HEAD_BYTES = 256 * 1024;

/** What a server says before the content. */
export interface ResponseHead {
  /** 200 for a file. */
  readonly status: number;
  /** The server's own, printable and short; may be empty. */
  readonly words: string;
  /** Whether the protocol itself tells where content ends: HTTP/2 and later. */
  readonly hasFrames: boolean;
  /** By names in lower case; what is said more than once is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Finds the head at the start of what curl puts out, and leaves what comes after it. */
export class HeadReader {
  #text = Buffer.alloc(0);
  #head: ResponseHead | undefined;

  /** The head, once all of it is there. */
  get head(): ResponseHead | undefined {
    return this.#head;
  }

  /** Takes what comes next, and answers what of it belongs to the content. Throws a RangeError where no head comes to an end. */
  add(chunk: Buffer): Buffer {
    if (this.#head !== undefined) return chunk;
    this.#text = Buffer.concat([this.#text, chunk]);
    for (let end = this.#endOfBlock(); end >= 0; end = this.#endOfBlock()) {
      const head = parseHead(this.#text.toString('latin1', 0, end));
      this.#text = this.#text.subarray(end + 4);
      // A server may say something in between first: 100 Continue, 103 Early Hints.
      if (head.status < 200) continue;
      this.#head = head;
      return this.#text;
    }
    if (this.#text.length > MAX_HEAD_BYTES) throw new RangeError('The head has no end');
    return Buffer.alloc(0);
  }

  #endOfBlock(): number {
    return this.#text.indexOf('\r\n\r\n');
  }
}

export function parseHead(text: string): ResponseHead {
  const lines = text.split('\r\n');
  const [, version, status, words] = /^HTTP\/(\S+) (\d{3}) ?(.*)$/.exec(lines[0] ?? '') ?? [];
  const headers = new Map<string, string>();
  for (const line of version === undefined ? lines : lines.slice(1)) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return {
    // Of a file curl tells headers alone.
    status: Number(status ?? 200),
    words: printable(words ?? '', MAX_WORDS),
    hasFrames: version !== undefined && !version.startsWith('1.'),
    headers,
  };
}

export interface ContentRange {
  readonly first: number;
  readonly totalBytes: number | undefined;
}

/** What part of the content a 206 has. */
export function rangeOf({ headers }: ResponseHead): ContentRange | undefined {
  const range = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(
    headers.get('content-range') ?? '',
  );
  if (range === null) return undefined;
  const [, first, total] = range;
  return { first: Number(first), totalBytes: total === '*' ? undefined : Number(total) };
}

/** Of the whole content, if that is certain: not where it is sent in chunks, or packed. */
export function totalBytesOf(head: ResponseHead): number | undefined {
  if (isPacked(head)) return undefined;
  return head.status === 206 ? rangeOf(head)?.totalBytes : lengthOf(head);
}

/** Whether content that is cut off would be noticed. */
export function tellsItsEnd(head: ResponseHead): boolean {
  return head.hasFrames || isChunked(head) || lengthOf(head) !== undefined;
}

function lengthOf(head: ResponseHead): number | undefined {
  const length = head.headers.get('content-length') ?? '';
  return /^\d{1,15}$/.test(length) && !isChunked(head) ? Number(length) : undefined;
}

function isChunked({ headers }: ResponseHead): boolean {
  return /(^|,)\s*chunked\s*$/i.test(headers.get('transfer-encoding') ?? '');
}

function isPacked({ headers }: ResponseHead): boolean {
  const encoding = headers.get('content-encoding')?.toLowerCase() ?? '';
  return encoding !== '' && encoding !== 'identity';
}

/** On one line, without what a terminal could take for more than text. */
export function printable(text: string, most: number): string {
  const line = text.replaceAll(/[^\x20-\x7e]/g, '?').trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}
