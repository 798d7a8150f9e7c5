import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { PullImageResponse } from '../../../client/api.ts';
import { delay } from '../../../core/delay.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { imageSourceArgument, wholeDigestArgument } from '../../input/argument-parsers.ts';
import { addSecretOption, readSecret, type SecretOptions } from '../../input/secret-options.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface PullOptions extends OutputOptions, SecretOptions {
  readonly digest?: string;
  readonly raw?: boolean;
  readonly always?: boolean;
  readonly auth?: string;
}

const AGAIN_MS = 500;

export function addImagePullCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('pull')
    .summary('fetch an image, so that VMs are made from it at once')
    .description(
      'Has the node fetch an image and waits for it. Ctrl-C ends that, unless a VM waits for the same; what has come stays for the next time.',
    )
    .argument(
      '<source>',
      'http(s)://…, oci://REGISTRY/REPOSITORY[:TAG], s3://BUCKET/PATH or file:///PATH of the node',
      imageSourceArgument,
    )
    .option('--digest <digest>', 'sha256:… that the content must have', wholeDigestArgument)
    .option('--raw', "take the content for a disk's bytes, whatever is in it")
    .option('--always', 'ask also where the node has it whether it is still the same')
    .option('--auth <name>', 'the secret of the node to fetch it with: USER:PASSWORD or a token');
  addSecretOption(command, 'what --auth names, in the place of that of the node');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl image pull https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
  novactl image pull oci://quay.io/containerdisks/debian:12
  novactl image pull s3://images/web.qcow2 --auth s3-reader
  novactl image pull file:///var/lib/libvirt/images/base.vmdk
`,
  );
  command.action(async (source: string, options: PullOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { imageView, pullText } = await import('../../views/image-view.ts');
    const { TerminalLine } = await import('../../progress/terminal-line.ts');
    const { digest, raw = false, always = false } = options;
    const { auth } = options;
    const secret = await readSecret(options, auth);
    const pullId = randomUUID();
    await withAgent(io, command, async (client, call) => {
      const line = new TerminalLine(io.stderr);
      const show = (answer: PullImageResponse) => {
        if (io.stderr.isTTY) line.draw(pullText(source, answer));
      };
      try {
        for (;;) {
          const request = { source, digest, raw, always, pullId, auth, secret };
          const answer = await client.images.pull(request, call);
          if (answer.image === undefined) {
            show(answer);
            await delay(AGAIN_MS, io.signal);
            continue;
          }
          line.erase();
          const { image } = answer;
          if (options.output === 'table') io.stdout.write(`Image ${image.digest} is here\n`);
          else await printItem(io, options.output, imageView(Date.now()), image);
          return;
        }
      } finally {
        line.erase();
      }
    });
  });
}
