import { imageSource, shownSource, sourceProblems } from '../../core/resources/image-source.ts';
import { checkSupport } from '../../core/resources/support.ts';
import type {
  Image,
  ImageServiceService,
  PullImageRequest,
} from '../../gen/novacron/agent/v1/image.ts';
import { digestText, type ImageService, type ImageWant, type KnownImage } from '../images/image.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { toUint64 } from './count-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { toTimestamp } from './time-conversion.ts';

const MAX_ID_BYTES = 128;
const MAX_SECRET_BYTES = 64 * 1024;
const DIGEST = /^(sha256:)?[0-9a-f]{6,64}$/;

export function imageHandlers(images: ImageService): ServiceHandlers<ImageServiceService> {
  return {
    async listImages(_request, { signal }) {
      return { images: (await images.list(signal)).map(toImage) };
    },

    async pullImage(request, { caller, signal }) {
      const want = fromPull(request);
      const holder = `pull ${caller.identity} ${request.pullId}`;
      const found = await images.want(want, holder, signal);
      if (found.kind === 'here') {
        images.drop(holder);
        return { image: toImage(found.stored), step: '', bytes: 0n };
      }
      const { step, bytes, totalBytes } = found.progress;
      return {
        step,
        bytes: toUint64(bytes),
        totalBytes: totalBytes === undefined ? undefined : toUint64(totalBytes),
      };
    },

    async removeImage({ digest }, context) {
      context.about({ image: digest });
      await images.remove(fromDigest(digest, 'remove'), context.signal);
      return {};
    },

    async verifyImage({ digest }, context) {
      context.about({ image: digest });
      const verdict = await images.verify(fromDigest(digest, 'verify'), context.signal);
      return { problem: verdict.isWhole ? '' : verdict.problem };
    },
  };
}

function fromPull(request: PullImageRequest): ImageWant {
  const { source, digest, raw, always, pullId, auth: name, secret } = request;
  const checks = new FieldChecks();
  const parsed = imageSource.safeParse({
    source,
    ...(digest === undefined ? {} : { digest }),
    ...(name === undefined ? {} : { auth: name }),
  });
  for (const { path, message } of parsed.error?.issues ?? []) checks.add(path.join('.'), message);
  for (const { path, message } of parsed.data === undefined ? [] : sourceProblems(parsed.data)) {
    checks.add(path.join('.'), message);
  }
  if (secret !== undefined && name === undefined) {
    checks.add('secret', 'must be left out without auth, which names it');
  }
  if ((secret?.length ?? 0) > MAX_SECRET_BYTES) {
    checks.add('secret', `must have at most ${MAX_SECRET_BYTES} bytes`);
  }
  for (const { field, description } of checkSupport(imageSource, { source }).refused) {
    checks.add(field, description);
  }
  if (pullId === '' || Buffer.byteLength(pullId) > MAX_ID_BYTES) {
    checks.add('pullId', `must be 1 to ${MAX_ID_BYTES} bytes`);
  }
  checks.throwIfAny('INVALID_REQUEST', 'Cannot pull the image');
  const auth = name === undefined ? undefined : { name, given: secret };
  return { source, digest, isRaw: raw, pullPolicy: always ? 'Always' : 'IfNotPresent', auth };
}

function fromDigest(digest: string, verb: string): string {
  const checks = new FieldChecks();
  if (!DIGEST.test(digest)) {
    checks.add(
      'digest',
      'must be sha256: and at least 6 of the digits, as novactl image list has it',
    );
  }
  checks.throwIfAny('INVALID_REQUEST', `Cannot ${verb} the image`);
  return digest;
}

function toImage(image: KnownImage): Image {
  return {
    digest: digestText(image),
    path: image.path,
    format: image.format,
    virtualBytes: toUint64(image.virtualBytes),
    contentBytes: toUint64(image.contentBytes),
    diskBytes: toUint64(image.diskBytes),
    origins: image.origins.map(({ url, fetchedAtMs, checkedAtMs }) => ({
      source: shownSource(url),
      fetchedTime: toTimestamp(fetchedAtMs),
      checkedTime: toTimestamp(checkedAtMs),
    })),
    lastUsedTime: toTimestamp(image.lastUsedAtMs),
    usedBy: [...image.usedBy],
  };
}
