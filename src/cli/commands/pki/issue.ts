import path from 'node:path';
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { DNS_NAME } from '../../../core/dns-name.ts';
import { formatHostPort } from '../../../core/host-port.ts';
import { ipVersionOf } from '../../../core/ip-address.ts';
import { dnsNameOrAddressArgument } from '../../input/argument-parsers.ts';
import { DEFAULT_AUTHORITY } from '../../pki/authority.ts';
import type { Holder, IssuedFiles, IssueRequest } from '../../pki/issue.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface IssueOptions {
  readonly dir: string;
  readonly out: string;
  readonly address: readonly string[];
  readonly days: number;
  readonly replace?: boolean;
}

const HOLDERS: readonly Holder[] = ['node', 'controller', 'operator', 'viewer'];
/** What most who check certificates still take. */
const DEFAULT_DAYS = 825;
const MAX_DAYS = 3650;
const CLIENT_NAME = /^[A-Za-z0-9]([-A-Za-z0-9._@]{0,62}[A-Za-z0-9])?$/;
/** Where the agent looks unless its configuration says otherwise. */
const AGENT_FOLDER = '/etc/novacron/pki';

export function addPkiIssueCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('issue')
    .summary('issue a certificate')
    .description(
      'Issues a certificate with a new key: tls.crt, tls.key and the CA in ca.crt, all that their holder needs. A node shows its ' +
        'own to other nodes and to clients; a controller or operator may do everything, a viewer only look.',
    )
    .addArgument(new Argument('<holder>', 'what it is for').choices(HOLDERS))
    .argument('<name>', "the node's name, as nodeName has it; of others what they are called")
    .requiredOption('--out <dir>', 'folder for its files')
    .option(
      '--address <address>',
      'IP address or name at which a node is reached; may be repeated',
      (text: string, others: readonly string[]) => [...others, dnsNameOrAddressArgument(text)],
      [],
    )
    .option('--days <days>', 'how long it is good for', daysArgument, DEFAULT_DAYS)
    .option('--replace', 'replace the files that are there; an agent takes the new ones by itself')
    .option('--dir <dir>', 'folder of the CA', DEFAULT_AUTHORITY)
    .addHelpText(
      'after',
      `
Examples:
  novactl pki issue node node-1 --address 10.0.0.1 --out /etc/novacron/pki
  novactl pki issue node node-2 --address 10.0.0.2 --out node-2
  novactl pki issue operator jane --out jane
`,
    );
  command.action(async (holder: Holder, name: string, options: IssueOptions) => {
    const problem = problemOf(holder, name, options);
    if (problem !== undefined) command.error(`error: ${problem}`);
    const { issueCertificate } = await import('../../pki/issue.ts');
    const request: IssueRequest = {
      holder,
      name,
      addresses: options.address,
      days: options.days,
      folder: path.resolve(options.out),
      replace: options.replace === true,
    };
    const files = await issueCertificate(options.dir, request, io.signal);
    io.stdout.write(`${summary(request, files)}${nextStep(request, files)}`);
  });
}

function problemOf(holder: Holder, name: string, { address }: IssueOptions): string | undefined {
  if (holder === 'node' && !DNS_NAME.test(name)) {
    return `"${name}" cannot be the name of a node: small letters, digits, "-" and ".", such as node-1`;
  }
  if (holder !== 'node' && !CLIENT_NAME.test(name)) {
    return `"${name}" cannot be the name of ${holder === 'operator' ? 'an' : 'a'} ${holder}: up to 64 letters, digits, "-", ".", "_" and "@", such as jane`;
  }
  if (holder !== 'node' && address.length > 0) {
    return '--address is for nodes, which others connect to';
  }
  return undefined;
}

function daysArgument(text: string): number {
  const days = Number(text);
  if (/^\d+$/.test(text) && days >= 1 && days <= MAX_DAYS) return days;
  throw new InvalidArgumentError(`It must be a number of days from 1 to ${MAX_DAYS}.`);
}

function summary({ holder, name }: IssueRequest, files: IssuedFiles): string {
  return `Certificate of ${holder} ${name}, good until ${files.validTo.toISOString().slice(0, 10)}
  ${files.certificate}
  ${files.key}, to be read by its holder only
  ${files.ca}
`;
}

function nextStep(request: IssueRequest, files: IssuedFiles): string {
  if (request.holder !== 'node') return contextsText(request, files);
  if (request.folder === AGENT_FOLDER) {
    const host = request.addresses.find((address) => ipVersionOf(address) !== 0) ?? 'ADDRESS';
    return `The agent of this node looks for them there. Next, unless it has that address already:
  echo 'advertise: "${formatHostPort({ host, port: 7443 })}"' >>/etc/novacron/agent.yaml
  systemctl restart novacron-agent
`;
  }
  return `Next: have node ${request.name} have them in ${AGENT_FOLDER}, say with
  ssh root@${request.name} mkdir -p -m 700 ${AGENT_FOLDER}
  scp -p ${request.folder}/* root@${request.name}:${AGENT_FOLDER}/
`;
}

function contextsText({ holder }: IssueRequest, files: IssuedFiles): string {
  return `Next: name them in the contexts file of novactl ($NOVACTL_CONFIG, /etc/novacron/novactl.yaml), a context for each node:
contexts:
  node-1:
    address: ADDRESS:7443
    nodeName: node-1
    tls:
      certificate: ${files.certificate}
      key: ${files.key}
      ca: ${files.ca}
${holder === 'controller' ? 'Other clients: docs/api-users.md\n' : ''}`;
}
