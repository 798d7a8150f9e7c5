import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { durationArgument } from '../../input/argument-parsers.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';
import type { VmDocument } from '../../views/vm-view.ts';

export interface SpecChangeOptions extends NamespaceOptions, ChangeOptions {
  readonly dryRun?: boolean;
  readonly timeout?: number;
}

type Spec = NonNullable<VmDocument['spec']>;
export type MachineDocument = Spec['template']['spec'];

/** What is to be otherwise about a VM. */
export interface SpecChange {
  readonly machine: MachineDocument;
  /** The fields of the machine that are taken of it. */
  readonly fields: readonly string[];
}

const MACHINE = 'spec.template.spec.';

/** The options of commands that change one thing in the manifest of a VM. */
export function addSpecChangeOptions(command: Command): Command {
  command
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('--dry-run', 'check everything, say what would change, and change nothing')
    .option(
      '--timeout <duration>',
      'how long its guest is waited for, which may have to do its part; 60s if left out',
      durationArgument,
    );
  addChangeOptions(command);
  addNamespaceOption(command);
  return addConnectionOptions(command);
}

/** Changes a VM as it is now, of which nothing else is touched, and says field by field what that has changed and when it is in force. */
export async function runSpecChange(
  io: CliIo,
  command: Command,
  name: string,
  options: SpecChangeOptions,
  edit: (machine: MachineDocument, vm: VmDocument) => SpecChange,
): Promise<void> {
  const { dryRun = false, timeout } = options;
  const { vmDocument, vmName } = await import('../../views/vm-view.ts');
  const { toVmInput } = await import('../../input/vm-manifest.ts');
  const { applyText, readApplyResponse } = await import('../../views/apply-result.ts');
  const { change } = await import('../../progress/change.ts');
  await withAgent(io, command, async (client, call) => {
    const vm = vmDocument(await client.vms.get(vmRef(name, options), call));
    const { apiVersion, kind, metadata, spec } = vm;
    if (spec === undefined || metadata === undefined) {
      throw new AgentError(
        'STATE_NOT_READY',
        `Cannot change VM ${vmName(vm)}: it is there, but cannot be described at the moment`,
      );
    }
    const { machine, fields } = edit(spec.template.spec, vm);
    const { namespace, name: own, uid, generation } = metadata;
    const template = { ...spec.template, spec: machine };
    const document = {
      apiVersion,
      kind,
      metadata: { namespace, name: own, uid },
      spec: { ...spec, template },
    };
    const input = toVmInput({ namespace: namespace ?? '', name: own, document } as never);
    const ask = (operationId?: string) =>
      client.vms.apply(input, {
        ...call,
        dryRun,
        operationId,
        updateMask: fields.map((field) => MACHINE + field),
        generation: generation === undefined ? undefined : BigInt(generation),
        guestTimeoutMs: timeout,
      });
    const { answer, operation } = dryRun
      ? { answer: await ask(), operation: undefined }
      : await change({ io, command, client, options }, ask);
    const told = operation?.warnings ?? [];
    for (const warning of told.length > 0 ? told : answer.warnings) {
      io.stderr.write(`Warning: VM ${vmName(vm)}: ${warning}\n`);
    }
    if (operation !== undefined && !options.wait) {
      writeBegun(io, `${operation.id}\n`);
      return;
    }
    const done = operation && {
      vm: await client.vms.get({ namespace: namespace ?? '', name: own, uid: uid ?? '' }, call),
      outcome: operation.result,
    };
    io.stdout.write(applyText(readApplyResponse(answer, done), { dryRun }));
  });
}
