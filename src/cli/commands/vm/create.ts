import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface CreateOptions extends OutputOptions, NamespaceOptions {
  readonly filename: string;
  readonly dryRun?: boolean;
}

export function addVmCreateCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('create')
    .summary('make the VMs of a file and start them')
    .description(
      'Makes the VMs that a YAML or JSON file describes and starts those that should run. Making a VM again\n' +
        'with the same uid and spec changes nothing. Several documents may be in one file.',
    )
    .requiredOption('-f, --filename <file>', 'the file; - reads standard input')
    .option('--dry-run', 'check everything and make nothing');
  addNamespaceOption(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm create -f web.yaml
  novactl vm create -f web.yaml --dry-run
  novactl vm get web -o yaml | sed 's/web/web2/; /uid:/d' | novactl vm create -f -

A file:
  apiVersion: novacron.dev/v1alpha1
  kind: VirtualMachine
  metadata: {name: web, namespace: default, labels: {app: web}}
  spec:
    powerState: Running                 # or Stopped
    cpu: {vcpus: 2}                     # model: host-model
    memory: {size: 512Mi}
    boot: {firmware: uefi}              # bios, or kernel: {path: …, initrd: …, commandLine: …}
    disks:
      - {name: root, target: vda, format: qcow2, path: /var/lib/images/web.qcow2, bootOrder: 1}
`,
  );
  command.action(async (options: CreateOptions) => {
    const { parseVmManifests } = await import('../../input/vm-manifest.ts');
    const { filename } = options;
    const text = filename === '-' ? await io.readStdin() : await readManifest(filename);
    const vms = parseVmManifests(text, filename === '-' ? 'standard input' : filename);
    const { printItem, printList } = await import('../../output/output.ts');
    const { vmName, phaseWord, vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const made = [];
      for (const vm of vms) {
        const metadata = {
          ...vm.metadata,
          namespace: namespaceOf(vm.metadata?.namespace ?? '', options),
        };
        const answer = await client.vms.create(
          { ...vm, metadata },
          { ...call, dryRun: options.dryRun },
        );
        made.push(answer);
        if (options.output !== 'table') continue;
        const result = options.dryRun === true ? 'could be made' : 'made';
        const phase = options.dryRun === true ? '' : ` (${phaseWord(answer.status?.phase ?? 0)})`;
        io.stdout.write(`VM ${vmName(answer)} ${result}${phase}\n`);
      }
      const view = vmView({ nowMs: Date.now(), showNamespace: true });
      const [first] = made;
      if (options.output === 'table') return;
      if (made.length === 1 && first !== undefined) printItem(io, options.output, view, first);
      else printList(io, options.output, view, made, '');
    });
  });
}

/** The file's namespace, which `--namespace` fills in but never contradicts. */
function namespaceOf(ofFile: string, options: CreateOptions): string {
  const { namespace = '' } = options;
  if (ofFile === '' || namespace === '' || ofFile === namespace) return ofFile || namespace;
  throw new AgentError(
    'INVALID_REQUEST',
    `Cannot make the VM in namespace ${namespace}: its file says ${ofFile}`,
  );
}

async function readManifest(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
    throw new AgentError('INVALID_REQUEST', `Cannot read ${file} (${code})`, { cause: error });
  }
}
