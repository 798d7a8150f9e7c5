import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addImageListCommand } from './image/list.ts';
import { addImagePullCommand } from './image/pull.ts';
import { addImageRemoveCommand } from './image/remove.ts';
import { addImageVerifyCommand } from './image/verify.ts';

export function addImageCommand(parent: Command, io: CliIo): Command {
  const image = parent
    .command('image')
    .description(
      'Shows, fetches, removes and checks the images that VMs of the node are made from. Each is kept once, under the digest of its ' +
        'content; those that no disk stands on make room by themselves when all take more than they may.',
    );
  addImageListCommand(image, io);
  addImagePullCommand(image, io);
  addImageRemoveCommand(image, io);
  addImageVerifyCommand(image, io);
  return image;
}
