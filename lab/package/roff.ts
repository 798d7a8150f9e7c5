/** Text as man pages have it: nothing in it is a request, and a dash is one that can be copied. */
export function roff(text: string): string {
  return text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll(/^(?=[.'])/gm, String.raw`\&`);
}

/** The little of Markdown that a paragraph or a cell of a table has. */
export function roffOfMarkdown(text: string): string {
  return roff(text.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1'))
    .replaceAll(/`([^`]+)`/g, String.raw`\fB$1\fR`)
    .replaceAll(/\*\*([^*]+)\*\*/g, String.raw`\fB$1\fR`);
}

export function heading(title: string): string {
  return `.SH ${title.toUpperCase()}\n`;
}

/** A term, and what it means below it; both are roff. */
export function entry(term: string, meaning: string): string {
  return `.TP\n${term}\n${meaning || '.br'}\n`;
}

/** As it stands, line by line. */
export function verbatim(text: string): string {
  return `.PP\n.EX\n${roff(text.replaceAll(/^\n+|\n+$/g, ''))}\n.EE\n`;
}

export interface PageTitle {
  readonly name: string;
  readonly section: number;
  readonly version: string;
  readonly summary: string;
}

export function pageStart({ name, section, version, summary }: PageTitle): string {
  return `.TH ${name} ${section} "" "novacron\\-agent ${version}" "NovaCron"
.SH NAME
${roff(name)} \\- ${roff(summary)}
`;
}
