import type { Command } from 'commander';
import { addConnectionOptions, connectionOptions } from '../connection/agent-connection.ts';
import { durationArgument } from '../input/argument-parsers.ts';
import { textOutputOption } from '../output/output-format.ts';
import type { CliIo } from '../process/cli-io.ts';
import { EXIT_CODES, Exit } from '../process/exit-codes.ts';

interface DoctorCommandOptions {
  readonly agentConfig: string;
  readonly checkTimeout: number;
  readonly output: 'text' | 'json';
}

const DEFAULT_CHECK_TIMEOUT_MS = 10_000;

export function addDoctorCommand(parent: Command, io: CliIo): Command {
  const command = parent
    .command('doctor')
    .description(
      'Checks this machine for what the agent needs and says what to do about what is wrong. Changes nothing.\n' +
        'Exit code 1 if anything fails; warnings do not count.',
    )
    .option('--agent-config <file>', "the agent's configuration", '/etc/novacron/agent.yaml')
    .option(
      '--check-timeout <duration>',
      'how long checks are waited for after the last that has ended (10s)',
      durationArgument,
      DEFAULT_CHECK_TIMEOUT_MS,
    )
    .addOption(textOutputOption());
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  sudo novactl doctor
  novactl doctor -o json | jq -r '.checks[] | select(.level == "failure").fix'
`,
  );
  command.action(async (options: DoctorCommandOptions) => {
    const { AgentClient } = await import('../../client/agent-client.ts');
    const { resolveTarget } = await import('../connection/contexts.ts');
    const { allChecks } = await import('../doctor/all-checks.ts');
    const { runChecks } = await import('../doctor/check.ts');
    const { thisHost } = await import('../doctor/host.ts');
    const { doctorText, inOrder } = await import('../doctor/report.ts');
    const choice = connectionOptions(command);
    const chosen = choice.address !== undefined || choice.node !== undefined;
    const checks = await allChecks({
      host: thisHost,
      agentConfig: options.agentConfig,
      target: chosen ? await resolveTarget(choice, io.env) : undefined,
      open: (target) => AgentClient.open(target),
      architecture: process.arch,
      nowMs: Date.now(),
      checkTimeoutMs: options.checkTimeout,
    });
    const running = { timeoutMs: options.checkTimeout, isRoot: thisHost.userId() === 0 };
    const results = inOrder(await runChecks(checks, running, io.signal));
    const failed = results.some(({ level }) => level === 'failure');
    io.stdout.write(
      options.output === 'json'
        ? `${JSON.stringify({ ok: !failed, checks: results }, undefined, 2)}\n`
        : doctorText(results),
    );
    if (failed) throw new Exit(EXIT_CODES.failure);
  });
  return command;
}
