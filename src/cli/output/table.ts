const GAP = '   ';

/** Text without anything that could move a terminal's cursor. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}

/** Left-aligned columns under a header; an empty cell is shown as `-`. */
export function formatTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cells = [headers, ...rows.map((row) => row.map((cell) => printable(cell) || '-'))];
  const widths = columnWidths(headers, rows);
  return cells
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** How many characters a table of these is wide. */
export function tableWidth(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
): number {
  const gaps = GAP.length * Math.max(0, headers.length - 1);
  return columnWidths(headers, rows).reduce((sum, width) => sum + width, gaps);
}

function columnWidths(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
): readonly number[] {
  return headers.map((header, column) =>
    Math.max(header.length, ...rows.map((row) => (printable(row[column] ?? '') || '-').length)),
  );
}
