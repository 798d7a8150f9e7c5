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
  const cells = cellsOf(headers, rows);
  const widths = columnWidths(cells);
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
  return columnWidths(cellsOf(headers, rows)).reduce((sum, width) => sum + width, gaps);
}

/** As they are printed, the headers first. */
function cellsOf(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
): (readonly string[])[] {
  return [headers, ...rows.map((row) => row.map((cell) => printable(cell) || '-'))];
}

function columnWidths(cells: readonly (readonly string[])[]): readonly number[] {
  const [headers = []] = cells;
  return headers.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '-').length)));
}
