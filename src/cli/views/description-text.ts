import { printable } from '../output/table.ts';

/** A line `Name:   value`, or several if the value is several. */
export type Fact = readonly [name: string, value: string | readonly string[] | undefined];

const INDENT = '  ';

/** Facts below each other with their values aligned; those without a value are left out. */
export function factsText(facts: readonly Fact[]): string {
  const told = facts.flatMap(([name, value]) => {
    const values = (typeof value === 'string' ? [value] : (value ?? [])).filter(
      (text) => text !== '',
    );
    return values.map((text, index) => [index === 0 ? `${name}:` : '', printable(text)] as const);
  });
  const width = Math.max(0, ...told.map(([name]) => name.length));
  return told.map(([name, text]) => `${name.padEnd(width)}   ${text}\n`).join('');
}

/** A part with a heading and its text indented below; empty if the text is. */
export function section(heading: string, text: string): string {
  if (text === '') return '';
  const lines = text.replace(/\n$/, '').split('\n');
  return `\n${heading}:\n${lines.map((line) => `${INDENT}${line}`.trimEnd()).join('\n')}\n`;
}
