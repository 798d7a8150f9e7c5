import { type Document, parseAllDocuments } from 'yaml';
import { AgentError } from '../../core/errors.ts';
import type { ManifestPart } from './manifest-files.ts';

/** The documents of a YAML or JSON text, each by its number where there are several. What is empty is left out. */
export function splitDocuments(text: string, file: string): readonly ManifestPart<unknown>[] {
  // A key that is given twice is refused by the parser.
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  const all = Array.isArray(documents) ? documents : [];
  const parts = all
    .map((document, index) => {
      const where = all.length === 1 ? file : `${file}, document ${index + 1}`;
      return readDocument(document, where);
    })
    // Left by a `---` at the start or the end.
    .filter((part) => 'error' in part || (part.value !== null && part.value !== undefined));
  if (parts.length > 0) return parts;
  return [{ where: file, error: new AgentError('INVALID_SPEC', 'There is no manifest in it') }];
}

function readDocument(document: Document, where: string): ManifestPart<unknown> {
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) return { where, error: noYaml(problem) };
  try {
    return { where, value: document.toJS() };
  } catch (error) {
    // What unfolds its aliases to more than fits.
    return { where, error: noYaml(error) };
  }
}

function noYaml(cause: unknown): AgentError {
  // The lines that follow draw the place, which line and column name already.
  const [why = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  return new AgentError('INVALID_SPEC', `It is no YAML: ${why.replace(/:$/, '')}`, { cause });
}
