const BEGIN = '<!-- Made from the schema by `npm run generate`; not to be edited. -->';
const END = '<!-- The end of what is made from the schema. -->';

/** A page that people write, with its generated section made anew. */
export function withGeneratedSection(page: string, section: string): string {
  const [before, afterBegin, ...moreBegins] = page.split(BEGIN);
  const [, after, ...moreEnds] = afterBegin?.split(END) ?? [];
  if (before === undefined || after === undefined || moreBegins.length + moreEnds.length > 0) {
    throw new Error(`A page must have ${BEGIN} and ${END} once each`);
  }
  return `${before}${BEGIN}\n\n${section}\n\n${END}${after}`;
}
