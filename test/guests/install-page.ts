import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { inProject } from '../../lab/core/project.ts';

/** A part of docs/install.md that is typed into a shell. */
export interface ShellBlock {
  /** The heading above it. */
  readonly section: string;
  /** What stands behind `sh` at its fence; empty for what every reader does. */
  readonly mark: string;
  readonly script: string;
}

export interface InstallPage {
  /** The blocks of a mark, in one section or in all; fails if there are none. */
  find(mark: string, section?: string): readonly ShellBlock[];
}

const FENCE = /^```sh ?(?<mark>[\w-]*)\n(?<script>.*?)^```$/gms;
const HEADING = /^## (.+)$/gm;

export async function readInstallPage(): Promise<InstallPage> {
  const blocks = parseBlocks(await readFile(inProject('docs/install.md'), 'utf8'));
  return {
    find(mark, section) {
      const found = blocks.filter(
        (block) => block.mark === mark && block.section === (section ?? block.section),
      );
      assert.ok(found.length > 0, `The page has no block "${mark}" in ${section ?? 'it'}`);
      return found;
    },
  };
}

function parseBlocks(text: string): ShellBlock[] {
  const headings = [...text.matchAll(HEADING)];
  return [...text.matchAll(FENCE)].map(({ index, groups }) => ({
    section: headings.findLast((heading) => heading.index < index)?.[1] ?? '',
    mark: groups?.['mark'] ?? '',
    script: groups?.['script'] ?? '',
  }));
}
