import { AgentError } from '../../core/errors.ts';
import { readYamlDocuments } from '../../core/yaml.ts';
import type { ManifestPart } from './manifest-files.ts';

/** The documents of a YAML or JSON text, each by its number where there are several. What is empty is left out. */
export function splitDocuments(text: string, file: string): readonly ManifestPart<unknown>[] {
  const documents = readYamlDocuments(text);
  const parts = documents
    .map((read, index) => {
      const where = documents.length === 1 ? file : `${file}, document ${index + 1}`;
      return readDocument(read, where);
    })
    // Left by a `---` at the start or the end.
    .filter((part) => 'error' in part || (part.value !== null && part.value !== undefined));
  if (parts.length > 0) return parts;
  return [{ where: file, error: new AgentError('INVALID_SPEC', 'There is no manifest in it') }];
}

function readDocument(read: () => unknown, where: string): ManifestPart<unknown> {
  try {
    return { where, value: read() };
  } catch (error) {
    return { where, error: noYaml(error) };
  }
}

function noYaml(cause: unknown): AgentError {
  // The lines that follow draw the place, which line and column name already.
  const [why = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  return new AgentError('INVALID_SPEC', `It is no YAML: ${why.replace(/:$/, '')}`, { cause });
}
