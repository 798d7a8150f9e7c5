import { readFile } from 'node:fs/promises';
import { USAGE } from '../../src/agent/command-line.ts';
import { inProject } from '../core/project.ts';
import { renderCommandPage } from './command-page.ts';
import { entry, heading, pageStart, roff, roffOfMarkdown, verbatim } from './roff.ts';

/** Pages by file name, such as `novactl.1`: made from what the programs say of themselves, so that they cannot differ. */
export async function renderManPages(version: string): Promise<Readonly<Record<string, string>>> {
  const configuration = await readFile(inProject('docs/configuration.md'), 'utf8');
  return {
    'novactl.1': await renderCommandPage(version),
    'novacron-agent.8': agentPage(version),
    'novacron-agent.yaml.5': configurationPage(version, configuration),
  };
}

const FILES: Readonly<Record<string, string>> = {
  '/etc/novacron/agent.yaml': 'The configuration: novacron-agent.yaml(5).',
  '/etc/novacron/pki': 'Certificate, key and CA of a node that others reach.',
  '/run/novacron/agent.sock': 'The API, for root on this node: novactl(1).',
  '/var/lib/novacron':
    'What the agent knows of its VMs and libvirt does not. Not to be removed while there are any.',
  '/usr/share/doc/novacron-agent/docs': 'All that is documented; install.md to begin with.',
};

function agentPage(version: string): string {
  const summary = 'runs the VMs of this node';
  const title = { name: 'novacron-agent', section: 8, version, summary };
  const files = Object.entries(FILES).map(([file, what]) => entry(bold(file), roff(what)));
  return `${pageStart(title)}${heading('synopsis')}${bold('novacron-agent')} [options]
${heading('description')}${roff(`One agent per node creates and watches VMs on the node's own libvirt, moves them to other nodes, and answers to a control plane
and to novactl(1). systemd runs it as novacron-agent.service. VMs and migrations go on while it is stopped or replaced.`)}
${verbatim(USAGE)}${heading('files')}${files.join('')}${heading('see also')}novactl(1), novacron\\-agent.yaml(5), virsh(1)
`;
}

function configurationPage(version: string, markdown: string): string {
  const summary = 'configuration of novacron-agent';
  const title = { name: 'novacron-agent.yaml', section: 5, version, summary };
  const [before = ''] = markdown.split('\n| key |');
  const keys = markdown.split('\n').filter((line) => line.startsWith('| `'));
  return `${pageStart(title)}${heading('synopsis')}${bold('/etc/novacron/agent.yaml')}
${heading('description')}${paragraphs(before.replace(/^# .*\n/, ''))}${heading('keys')}${keys.map(keyEntry).join('')}${heading('see also')}novacron\\-agent(8), novactl(1)
`;
}

/** A row of the table: keys, default, what it is. */
function keyEntry(row: string): string {
  const [keys = '', value = '', ...what] = row.slice(2, -2).split(' | ');
  const byDefault = value === '–' ? '' : ` By default ${value}.`;
  return entry(roffOfMarkdown(keys), roffOfMarkdown(`${what.join(' | ')}${byDefault}`));
}

/** Paragraphs and blocks of code. */
function paragraphs(markdown: string): string {
  return markdown
    .split(/^```.*$/m)
    .map((part, index) => (index % 2 === 1 ? verbatim(part) : proseOf(part)))
    .join('');
}

function proseOf(markdown: string): string {
  const found = markdown.split(/\n{2,}/).filter((paragraph) => paragraph.trim() !== '');
  return found.map((paragraph) => `.PP\n${roffOfMarkdown(paragraph.trim())}\n`).join('');
}

function bold(text: string): string {
  return String.raw`\fB${roff(text)}\fR`;
}
