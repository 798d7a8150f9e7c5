/** Linux' input-event-codes.h: keys of a US keyboard by what people call them. */
const ROWS: readonly (readonly [number, string])[] = [
  [1, 'esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p leftbrace rightbrace'],
  [28, 'enter ctrl a s d f g h j k l semicolon apostrophe grave shift backslash'],
  [44, 'z x c v b n m comma dot slash'],
  [56, 'alt space'],
  [59, 'f1 f2 f3 f4 f5 f6 f7 f8 f9 f10'],
  [87, 'f11 f12'],
  [99, 'sysrq'],
  [102, 'home up pageup left right end down pagedown insert delete'],
  [125, 'meta'],
];

const CODES: ReadonlyMap<string, number> = new Map(
  ROWS.flatMap(([first, names]) =>
    names.split(' ').map((name, index): [string, number] => [name, first + index]),
  ),
);

/** Those of one digit are keys themselves. */
const MIN_CODE = 10;
/** A key of the keyboard has at most this one. */
const MAX_CODE = 255;

/** The code of a key; undefined if there is none of that name. A number from 10 to 255 is a code itself. */
export function keyCodeOf(name: string): number | undefined {
  const code = CODES.get(name.toLowerCase());
  if (code !== undefined || !/^\d{1,3}$/.test(name)) return code;
  return Number(name) >= MIN_CODE && Number(name) <= MAX_CODE ? Number(name) : undefined;
}

export const KEY_NAMES: readonly string[] = [...CODES.keys()];
